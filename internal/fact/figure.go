package fact

// A Figure is a number that may be absent, which is not the same as 0. The zero value is absent.
type Figure struct {
	Value int64 // 0 if absent
	Known bool
}

// Of returns the figure with a value, if the value is known.
func Of[T ~int64](value T, known bool) Figure { return Figure{int64(value), known} }
