package emoji_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// README.md shows the commands that pictures.sh runs, in its order but for the sheet, and every picture
// that they make.
func TestPictures(t *testing.T) {
	read := func(name string) string {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	continued := regexp.MustCompile(`\\\n\s*`)
	script, readme := continued.ReplaceAllString(read("pictures.sh"), ""), continued.ReplaceAllString(read("README.md"), "")

	var runs, shown []string
	for _, m := range regexp.MustCompile(`(?m)^draw (.*) -o docs/(.*)$`).FindAllStringSubmatch(script, -1) {
		runs = append(runs, m[1])
		if m[2] != "sheet.png" && !strings.Contains(readme, "(../../docs/"+m[2]+")") {
			t.Errorf("README.md does not show %s", m[2])
		}
		if _, err := os.Stat("../../docs/" + m[2]); err != nil {
			t.Error(err)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^    lanewise generate (.*)$`).FindAllStringSubmatch(readme, -1) {
		shown = append(shown, m[1])
	}
	slices.Sort(runs)
	slices.Sort(shown)
	if len(runs) == 0 || !slices.Equal(runs, shown) {
		t.Errorf("pictures.sh runs\n%s\nREADME.md shows\n%s", strings.Join(runs, "\n"), strings.Join(shown, "\n"))
	}
}
