#!/bin/sh
# pictures.sh makes the pictures of docs/ from the model as it is; README.md here shows them. The same
# weights make the same pictures.
set -eu
cd "$(dirname "$0")/../.."
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin" ./cmd/lanewise ./models/emoji/photo
draw() { "$bin/lanewise" generate --quiet "$@"; }

# Twelve prompts, each in every style.
draw "red heart" "blue apple" "grinning face" "smiling face with sunglasses" panda frog \
	sunflower "red apple" doughnut rocket fire "soccer ball" \
	--styles all --seed 2 --scale 2 --columns 10 --labels=false -o docs/sheet.png

# One prompt and one noise in every style.
draw "smiling face with sunglasses" rocket --styles all --seed 7 --scale 4 -o docs/styles.png

# A picture drawn anew, and as something else.
"$bin/photo" docs/photo.jpg
draw "red apple" "red heart" --from docs/photo.jpg --strength 0.65 --styles all --seed 7 --scale 4 -o docs/restyled.png

# Two prompts in one picture.
draw --mix "skull:0.4" "red heart:0.8" --styles all --seed 7 --scale 4 -o docs/mix-heart.png
draw --mix "panda:0.5" "pig face:0.5" --styles all --seed 7 --scale 4 -o docs/mix-panda.png

# Two styles in one picture, evenly and exaggerated.
draw frog "red apple" --style noto --style noto:0.5,flat:0.5 --style flat --style flat:1.5,noto:-0.5 --seed 7 --scale 4 -o docs/mix-styles.png

# From a style to another.
draw frog rocket --interpolate noto,flat --frames 7 --seed 7 --scale 4 -o docs/interpolation.png
