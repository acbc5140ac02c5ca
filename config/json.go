package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// members returns the text of every value of a JSON object, with NaN and the infinities as Python
// writes them.
func members(text []byte) (map[string]string, error) {
	// The decoder reads a copy of the same length in which these tokens are numbers; values are cut
	// out of the original.
	d := json.NewDecoder(bytes.NewReader(maskTokens(text)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	values := make(map[string]string)
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, notJSON(err)
		}
		name := key.(string) // the decoder returns nothing else before a value
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("key %q comes twice", name)
		}
		end := int(d.InputOffset())
		values[name] = string(text[end-len(value) : end])
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(err)
	}
	if rest := bytes.TrimSpace(text[d.InputOffset():]); len(rest) > 0 {
		return nil, errors.New("more follows the JSON object")
	}
	return values, nil
}

// notJSON says that the text ended or went wrong.
func notJSON(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("not JSON: %w", err)
}

// maskTokens returns the text with NaN and Infinity, outside of strings, replaced by zeros.
func maskTokens(text []byte) []byte {
	masked := bytes.Clone(text)
	inString := false
	for i := 0; i < len(masked); i++ {
		switch rest := masked[i:]; {
		case inString && rest[0] == '\\':
			i++
		case rest[0] == '"':
			inString = !inString
		case inString:
		case bytes.HasPrefix(rest, []byte("NaN")):
			copy(rest, "0.0")
			i += len("NaN") - 1
		case bytes.HasPrefix(rest, []byte("Infinity")):
			copy(rest, "0."+strings.Repeat("0", len("Infinity")-2))
			i += len("Infinity") - 1
		}
	}
	return masked
}
