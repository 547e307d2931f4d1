package sandboxtest
import ("testing";"time";"sort";"fmt";"os")
func TestCnt(t *testing.T){
 type r struct{n string; d,e,g time.Duration}; var rs []r
 root:=t.TempDir()
 for i,l:=range Liars(){ a:=time.Now(); s,err:=l.Start(root,Spec{ID:fmt.Sprint(i),Restored:true}); if err!=nil{t.Fatal(err)}; b:=time.Now(); observe(s,50*time.Millisecond); c:=time.Now(); s.Remove(); rs=append(rs,r{l.Name,b.Sub(a),c.Sub(b),time.Since(c)})}
 sort.Slice(rs,func(i,j int)bool{return rs[i].d+rs[i].e+rs[i].g>rs[j].d+rs[j].e+rs[j].g})
 for _,x:=range rs[:12]{t.Log(x)}
 t.Log(rs[200])
 for _,d:=range []string{t.TempDir(),"/dev/shm/xx"}{ os.Mkdir(d,0755); a:=time.Now(); f,_:=StartFleet(d,1000,FleetOptions{}); b:=time.Now(); f.Remove(); t.Log(d,b.Sub(a),time.Since(b))}
}
