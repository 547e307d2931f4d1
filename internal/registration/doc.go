// Package registration finds the registration of sandboxes that have none of their own: the list of
// metrics that runsc registers in every sandbox of one build, from a source that the sandbox does
// not control. That is the output of `runsc metric-metadata`, from a runsc on this host or in a
// file.
//
// The package decides which programs may run, runs them with limits, and treats their output as
// foreign bytes. It does not look into sandboxes and never asks them for their metrics.
//
// The protobuf library parses runsc's output (registration). The Go types of the messages have tags
// for protobuf and for JSON, like the generated types with which runsc writes state files, so both
// sources give the same bytes. Messages made at run time from a FileDescriptorProto would need the
// library's packages for descriptors, which cost every process 0.9 ms at its start, 0.7 MB of
// memory, and 0.7 MB of program. The library skips unknown messages by recursion and quotes the
// input in its errors, so the number of messages is limited before it parses, and its errors are
// cut off and printable.
package registration
