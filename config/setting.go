package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Setting describes an option of a program once, for its flag, its environment variable, its help and its
// field in Go. All of these accept the same values and report a wrong one with the same text.
type Setting struct {
	Name        string // of the flag, such as max-age
	Placeholder string // for the value in help, such as duration; a switch has none
	Heading     string // of its group in help
	Help        string
	// Value points to the value: a bool, int, string, []string, time.Duration or fs.FileMode. Its value
	// is the default.
	Value any
	// Choices are the valid values or, with Check or Path, valid in addition.
	Choices []string
	// Check returns why a value is invalid, given as text. It is called for each element of a list.
	Check func(text string) error
	Path  bool // the value is not empty, and a relative path is made absolute
	Whole bool // a comma is part of a value and does not separate the values of a list
}

// Set sets the value. Lists take several texts, and commas in them separate values.
func (s Setting) Set(texts ...string) error {
	if s.IsList() && !s.Whole {
		texts = strings.Split(strings.Join(texts, ","), ",")
	}
	return s.assign(texts)
}

// IsList reports whether the setting has any number of values.
func (s Setting) IsList() bool {
	_, is := s.Value.(*[]string)
	return is
}

// Texts returns the value as text, or each value of a list. An empty string has none.
func (s Setting) Texts() []string {
	switch v := s.Value.(type) {
	case *[]string:
		return slices.Clone(*v)
	case *fs.FileMode:
		return []string{fmt.Sprintf("%#o", *v)}
	default:
		if text := fmt.Sprint(reflect.ValueOf(v).Elem()); text != "" {
			return []string{text}
		}
		return nil
	}
}

// Verify checks the value as Set does, for values that were assigned in Go.
func (s Setting) Verify() error { return s.assign(s.Texts()) }

func (s Setting) assign(texts []string) error {
	if list, is := s.Value.(*[]string); is {
		*list = nil
	}
	for _, text := range texts {
		if err := s.assignOne(text); err != nil {
			return fmt.Errorf("%s %q: %w", s.Name, text, err)
		}
	}
	return nil
}

func (s Setting) assignOne(text string) (err error) {
	form := ""
	switch v := s.Value.(type) {
	case *bool:
		form = "true or false"
		*v, err = strconv.ParseBool(text)
	case *int:
		form = "a whole number"
		*v, err = strconv.Atoi(text)
	case *time.Duration:
		form = "a number with a unit, such as 2s or 500ms"
		*v, err = time.ParseDuration(text)
	case *fs.FileMode:
		form = "an octal number such as 0660"
		var mode uint64
		mode, err = strconv.ParseUint(text, 8, 9)
		*v = fs.FileMode(mode)
	}
	if err != nil {
		return errors.New("give " + form)
	}
	err = s.check(text)
	if err == nil && s.Path && !slices.Contains(s.Choices, text) {
		text, err = filepath.Abs(text)
	}
	switch v := s.Value.(type) {
	case *string:
		*v = text
	case *[]string:
		*v = append(*v, text)
	}
	return err
}

func (s Setting) check(text string) error {
	switch {
	case slices.Contains(s.Choices, text):
		return nil
	case s.Path && text == "":
		return errors.New("give a path")
	case s.Check != nil:
		return s.Check(text)
	case len(s.Choices) > 0 && !s.Path:
		last := len(s.Choices) - 1
		return errors.New("choose " + strings.Join(s.Choices[:last], ", ") + " or " + s.Choices[last])
	}
	return nil
}
