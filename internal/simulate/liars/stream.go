package liars

import (
	"strconv"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// Parts of the reply of an idle sandbox, from which lies are made.
const (
	frame     = `{"success":true,"err":"","result":{"snapshot":{"when":"NOW","data":[`
	opens     = `{"metric":{"name":"fs_opens","type":2,"help":"Number of file opens."},"val":{"int":51}}`
	opensHead = `{"metric":{"name":"fs_opens"`
	callsHead = `{"metric":{"name":"unimplemented_syscalls"`
)

// stallingLiars waste time or space.
func stallingLiars() []Liar {
	const big = 256 << 20
	return []Liar{
		does("never-replies", "takes the request and sends nothing", simulate.Stall),
		is("frozen", "accepts no connection, as after SIGSTOP", func(s *simulate.Spec) { s.Frozen = true }),
		does("late", "replies honestly, after 5 s", simulate.Late(5*time.Second)),
		does("drips", "sends one byte every 200 ms", simulate.Drip(1, 200*time.Millisecond)),
		does("stalls-half-way", "sends half a reply and no more", func(x *simulate.Exchange) error {
			reply := x.Reply()
			if err := x.Send(reply[:len(reply)/2]); err != nil {
				return err
			}
			return x.Stall()
		}),
		does("stalls-at-times", "replies to every second request only", func(x *simulate.Exchange) error {
			if x.N%2 == 0 {
				return x.Stall()
			}
			return simulate.Honest(x)
		}),
		does("hangs-up", "closes the connection without a word", simulate.HangUp(0)),
		does("hangs-up-half-way", "closes the connection after half a reply", simulate.HangUp(0.5)),
		does("never-ends", "sends points without end", simulate.Flood(frame+opens, ","+opens, 0, "")),
		does("blank-without-end", "sends spaces without end", simulate.Flood("", " ", 0, "")),
		does("digits-without-end", "sends a number without end", simulate.Flood(frame+opensHead+`,"type":2,"help":""},"val":{"int":`, "1", 0, "")),
		does("string-without-end", "sends a string without end", simulate.Flood(frame+`{"metric":{"name":"`, "a", 0, "")),
		does("floods-points", "sends 256 MB of points, well formed", simulate.Flood(frame+opens, ","+opens, big, "]}}}")),
		does("floods-blanks", "sends 256 MB of spaces in an honest reply", simulate.Flood(frame+opens, " ", big, "]}}}")),
		does("floods-unknown", "sends 256 MB in an unknown field", simulate.Flood(frame+opens+`],"more":"`, "a", big, `"}}}`)),
		does("floods-error", "fails with 256 MB of reason", simulate.Flood(`{"success":false,"err":"`, "a", big, `","result":null}`)),
		does("descriptors", "sends 120 open files with every byte", simulate.Descriptors(120)),
		does("replies-twice", "sends its reply twice", simulate.Edit(func(_ *simulate.Exchange, reply string) string { return reply + reply })),
		does("replies-and-more", "sends garbage behind its reply", simulate.Edit(func(_ *simulate.Exchange, reply string) string { return reply + "\x00]}" })),
	}
}

// nonsenseLiars send data that is not a reply.
func nonsenseLiars() []Liar {
	const deep = 1_000_000
	liars := []Liar{
		does("no-json", "sends a sentence", simulate.Say("I am a sandbox, and I am fine.\n")),
		does("http", "replies like a web server", simulate.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")),
		does("binary", "sends bytes of every kind", simulate.Say(everyByte())),
		does("deep-lists", "nests lists without end", simulate.Flood("", "[", 0, "")),
		does("deep-objects", "nests objects without end", simulate.Flood("", `{"result":`, 0, "")),
		does("deep-unknown", "nests a million deep in an unknown field",
			simulate.Edit(func(_ *simulate.Exchange, reply string) string {
				return `{"more":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + "," + reply[1:]
			})),
		does("deep-point", "nests 10,000 deep in an unknown field of a point",
			simulate.Replace(opensHead, `{"more":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+","+opensHead[1:])),
		does("bom", "begins with a byte order mark", simulate.Edit(func(_ *simulate.Exchange, reply string) string { return "\ufeff" + reply })),
		does("trailing-comma", "ends its list of points with a comma", simulate.Replace("]}}}", ",]}}}")),
		does("single-quotes", "quotes with the wrong marks", simulate.Edit(func(_ *simulate.Exchange, reply string) string { return strings.ReplaceAll(reply, `"`, "'") })),
		does("comment", "puts a comment into its JSON", simulate.Replace(`"data":`, `/* all of it */"data":`)),
	}
	for _, text := range []string{"null", "true", "0", `""`, "[]", "{}", "[{}]"} {
		liars = append(liars, does("just="+text, "sends "+text, simulate.Say(text)))
	}
	return liars
}

func everyByte() string {
	var b strings.Builder
	for i := range 4096 {
		b.WriteByte(byte(i))
	}
	return b.String()
}

// numberLiars send invalid values for a counter.
func numberLiars() []Liar {
	var liars []Liar
	for _, number := range []string{
		"9223372036854775808", "-9223372036854775809", "18446744073709551616", "-1", "-0", "51.5", "51.0", "5.1e1", "1e400",
		"+51", "051", "0x33", "51_000", "--51", "5e", "5.", ".5", "NaN", "nan", "-NaN", "Infinity", "-Infinity", "Inf", "+Inf",
		`"51"`, `"NaN"`, `"+Inf"`, "true", "{}", "[51]",
	} {
		liars = append(liars, does("int="+number, "has a counter at "+number, simulate.Replace(`"int":51`, `"int":`+number)))
	}
	for _, number := range []string{"51", "51.5", "1e308", "1e309", "5e-324", "NaN", "-Inf", `"NaN"`} {
		liars = append(liars, does("float="+number, "has a counter at the float "+number, simulate.Replace(`"int":51`, `"float":`+number)))
	}
	long := strings.Repeat("1", 100_000)
	return append(liars,
		does("int-of-many-digits", "has a counter of "+strconv.Itoa(len(long))+" digits", simulate.Replace(`"int":51`, `"int":`+long)),
		does("int-and-float", "has a counter with two numbers", simulate.Replace(`"int":51`, `"int":51,"float":52.5`)),
	)
}
