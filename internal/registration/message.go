package registration

import (
	"bytes"
	"compress/gzip"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// A message is a registration. Its types have the same tags as the generated types with which runsc
// writes state files, so JSON made of them is the same bytes. The field numbers are arbitrary: the
// text format has none.
type message struct {
	Metrics []*metric `protobuf:"bytes,1,rep,name=metrics,proto3" json:"metrics"`
	Stages  []string  `protobuf:"bytes,2,rep,name=stages,proto3" json:"stages"`
}

// These methods implement protoadapt.MessageV1.
func (m *message) Reset()         { *m = message{} }
func (m *message) String() string { return "registration" }
func (m *message) ProtoMessage()  {}

type metric struct {
	Name           string     `protobuf:"bytes,1,opt,name=name,proto3" json:"name,omitempty"`
	PrometheusName string     `protobuf:"bytes,2,opt,name=prometheus_name,proto3" json:"prometheus_name,omitempty"`
	Description    string     `protobuf:"bytes,3,opt,name=description,proto3" json:"description,omitempty"`
	Cumulative     bool       `protobuf:"varint,4,opt,name=cumulative,proto3" json:"cumulative,omitempty"`
	Sync           bool       `protobuf:"varint,5,opt,name=sync,proto3" json:"sync,omitempty"`
	Type           metricType `protobuf:"varint,6,opt,name=type,enum=Type,proto3" json:"type,omitempty"`
	Units          units      `protobuf:"varint,7,opt,name=units,enum=Units,proto3" json:"units,omitempty"`
	Fields         []*labels  `protobuf:"bytes,8,rep,name=fields,proto3" json:"fields,omitempty"`
	Bounds         []int64    `protobuf:"varint,9,rep,name=distribution_bucket_lower_bounds,proto3" json:"distribution_bucket_lower_bounds,omitempty"`
}

type labels struct {
	Name   string   `protobuf:"bytes,1,opt,name=field_name,proto3" json:"field_name,omitempty"`
	Values []string `protobuf:"bytes,2,rep,name=allowed_values,proto3" json:"allowed_values,omitempty"`
}

type (
	metricType int32
	units      int32
)

// The protobuf library takes the names of constants from EnumDescriptor.

func (metricType) EnumDescriptor() (file []byte, path []int) { return enums(), []int{0} }
func (units) EnumDescriptor() (file []byte, path []int)      { return enums(), []int{1} }

// enums returns a compressed FileDescriptorProto with the types of constants.
var enums = sync.OnceValue(func() []byte {
	field := func(number protowire.Number, parts ...string) string {
		b := protowire.AppendTag(nil, number, protowire.BytesType)
		return string(protowire.AppendString(b, strings.Join(parts, "")))
	}
	enum := func(name string, constants ...string) string {
		parts := []string{field(1, name)}
		for i, c := range constants {
			number := protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), uint64(i))
			parts = append(parts, field(2, field(1, c), string(number)))
		}
		return field(5, parts...)
	}
	var file bytes.Buffer
	w := gzip.NewWriter(&file)
	_, _ = w.Write([]byte(field(1, "registration.proto") +
		enum("Type", "TYPE_UINT64", "TYPE_DISTRIBUTION") +
		enum("Units", "UNITS_NONE", "UNITS_NANOSECONDS") +
		field(12, "proto3")))
	_ = w.Close() // writes to memory do not fail
	return file.Bytes()
})
