package golden_test

import "github.com/lanewise/lanewise/internal/golden"

// unsupportedClasses lists those that cannot run yet, with the reason. A class that is neither here
// nor in runners fails. Besides what is named here, only what a model's loader calls a value that
// it does not support, and an input that there is no place for, is skipped.
var unsupportedClasses = map[string]string{
	"DDPMScheduler":                   "no such sampler yet",
	"DPMSolverMultistepScheduler":     "no such sampler yet",
	"EulerAncestralDiscreteScheduler": "no such sampler yet",
	"HeunDiscreteScheduler":           "no such sampler yet",
	"LCMScheduler":                    "no such sampler yet",
	"PNDMScheduler":                   "no such sampler yet",
	"TCDScheduler":                    "no such sampler yet",
	"UniPCMultistepScheduler":         "no such sampler yet",
}

// unsupportedGroups lists groups that cannot run as a whole, by the letter before their name.
var unsupportedGroups = map[byte]string{
	'E': "no tokenizer of byte pairs yet",
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
	return unsupportedClasses[c.Class]
}
