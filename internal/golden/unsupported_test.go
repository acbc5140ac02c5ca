package golden_test

import "github.com/lanewise/lanewise/internal/golden"

// unsupportedGroups lists groups that cannot run as a whole, by the letter before their name.
var unsupportedGroups = map[byte]string{
	'F': "no pipeline from a diffusers directory yet",
}

// missing says why a case cannot run.
func missing(c *golden.Case) string {
	if reason, ok := unsupportedGroups[c.Name[0]]; ok {
		return reason
	}
	if c.Name[0] == 'B' {
		if _, ok := blockClasses[c.Class]; !ok {
			return "no block of this class alone"
		}
		return ""
	}
	return ""
}
