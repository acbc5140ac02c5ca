package golden_test

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// workers is the size of the engines that cases run on.
const workers = 2

// runner runs a case and returns what is off, all of it joined. An error that is
// errors.ErrUnsupported says that this case needs what Lanewise does not have yet.
type runner func(e *engine.Engine, c *golden.Case) error

// runners says how to run the cases of a class.
var runners = map[string]runner{
	"function":                        runOperators,
	"UNet2DConditionModel":            runUNet,
	"UNet2DModel":                     runUNet,
	"ControlNetModel":                 runControlNet,
	"CLIPTextModel":                   runText,
	"CLIPTextModelWithProjection":     runText,
	"CLIPVisionModel":                 runVision,
	"CLIPVisionModelWithProjection":   runVision,
	"AutoencoderKL":                   runAutoencoder,
	"AutoencoderTiny":                 runAutoencoder,
	"T2IAdapter":                      runT2I,
	"DiTTransformer2DModel":           runPatches,
	"PixArtTransformer2DModel":        runPatches,
	"Transformer2DModel":              runPatches,
	"DDIMScheduler":                   runScheduler,
	"DDPMScheduler":                   runScheduler,
	"DPMSolverMultistepScheduler":     runScheduler,
	"EulerAncestralDiscreteScheduler": runScheduler,
	"EulerDiscreteScheduler":          runScheduler,
	"HeunDiscreteScheduler":           runScheduler,
	"LCMScheduler":                    runScheduler,
	"PNDMScheduler":                   runScheduler,
	"TCDScheduler":                    runScheduler,
	"UniPCMultistepScheduler":         runScheduler,
}

// groupRunners says how to run the groups that are no cases of an index, by the letter before their name.
var groupRunners = map[byte]func(t *testing.T, dir string){
	'E': runTokenizer,
}

// roots returns the roots to run: those of LANEWISE_GOLDEN, a list in the form of PATH, or testdata where
// that is not set.
func roots() []string {
	if roots := filepath.SplitList(os.Getenv("LANEWISE_GOLDEN")); len(roots) > 0 {
		return roots
	}
	return []string{"testdata"}
}

// TestGolden runs the cases of every root: subtests <group>/<case>/isa=<isa>, where several algorithms convolve
// <group>/<case>/conv=<algorithm>/isa=<isa>, and those of groupRunners. A case runs or is skipped with the reason. What
// testdata holds is what must run: there, a skip is a failure.
func TestGolden(t *testing.T) {
	for _, root := range roots() {
		cases, err := golden.Index(root)
		if err != nil {
			t.Fatal(err)
		}
		var ran, skipped []string
		for _, c := range cases {
			t.Run(c.Name, func(t *testing.T) {
				if reason := runCase(t, c); reason != "" {
					skipped = append(skipped, c.Name+": "+reason)
					if isTestdata(t, root) {
						t.Error("unsupported: " + reason)
					}
					t.Skip("unsupported: " + reason)
				}
				ran = append(ran, c.Name)
				if !convolves[c.Class] {
					return
				}
				for _, forced := range forced {
					if testing.Short() && forced.by != conv.Winograd4 && forced.by != conv.PhasesWinograd {
						continue // emulators are slow, and these two take every kernel
					}
					t.Run("conv="+forced.by.String(), func(t *testing.T) {
						c.Options.Conv.Algorithm, c.Slack = forced.by, forced.slack
						runCase(t, c)
					})
				}
			})
		}
		for name, reason := range loose(t, root, cases) {
			t.Run(name, func(t *testing.T) {
				if run, ok := groupRunners[name[0]]; ok {
					ran = append(ran, name)
					run(t, filepath.Join(root, name))
					return
				}
				skipped = append(skipped, name+": "+reason)
				t.Skip("unsupported: " + reason)
			})
		}
		t.Logf("%s: %d cases ran, %d are unsupported:\n%s", root, len(ran), len(skipped), strings.Join(skipped, "\n"))
	}
}

// runCase runs a case on every Set, or says why it cannot.
func runCase(t *testing.T, c *golden.Case) (reason string) {
	run, ok := runners[c.Class]
	if c.Name[0] == 'B' {
		run, ok = runBlock, true
	}
	if reason := missing(c); reason != "" {
		return reason
	}
	if !ok {
		t.Fatalf("class %q is neither run nor listed as unsupported", c.Class)
	}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		c.Worst = 0
		err := run(kerneltest.Engine(t, set, workers), c)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			reason = err.Error()
			t.Skip(reason)
		case err != nil:
			t.Error(err)
		default:
			t.Logf("largest difference: %.2g of what is allowed", c.Worst)
		}
	})
	return reason
}

// isTestdata says whether a root is this package's own.
func isTestdata(t *testing.T, root string) bool {
	own, err := os.Stat("testdata")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(root)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(own, info)
}

// loose lists the groups of a root that its index does not describe.
func loose(t *testing.T, root string, cases []*golden.Case) map[string]string {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	groups := make(map[string]string)
	for _, entry := range entries {
		if entry.IsDir() {
			groups[entry.Name()] = cmp.Or(unsupportedGroups[entry.Name()[0]], "not described by index.json")
		}
	}
	for _, c := range cases {
		delete(groups, c.Group())
	}
	return groups
}

// check compares all outputs that the case expects, in the order of the index. What a model has
// inside (act.*) is not among them.
func check(c *golden.Case, got map[string]golden.Tensor) error {
	var errs []error
	for _, o := range c.Outputs {
		if strings.HasPrefix(o.Name, "out.") {
			errs = append(errs, c.Compare(o.Name, got[o.Name]))
		}
	}
	return errors.Join(errs...)
}

// unsupported is an error that says what Lanewise does not have yet.
type unsupported string

func (u unsupported) Error() string        { return string(u) }
func (u unsupported) Is(target error) bool { return target == errors.ErrUnsupported }
