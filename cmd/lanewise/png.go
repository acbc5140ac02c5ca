package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"strings"
)

// A note is a keyword with its text, which a PNG file carries beside the pixels.
type note struct {
	keyword string // 1 to 79 printable ASCII characters
	text    string
}

// encodePNG returns img as a PNG file with the notes in front of the pixels.
func encodePNG(img image.Image, notes []note) ([]byte, error) {
	const header = 8 + 12 + 13 // the signature and the first chunk, IHDR
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, img); err != nil {
		return nil, err
	}
	pixels := b.Bytes()
	file := append([]byte(nil), pixels[:header]...)
	for _, n := range notes {
		file = n.append(file)
	}
	return append(file, pixels[header:]...), nil
}

// append appends the note as a chunk: tEXt, whose text is Latin-1, where that can hold the text,
// else iTXt, whose text is UTF-8 (PNG specification, third edition, 11.3.3). Neither can hold
// a zero byte; it is left out.
func (n note) append(file []byte) []byte {
	text := strings.ReplaceAll(strings.ToValidUTF8(n.text, "\uFFFD"), "\x00", "")
	if latin, ok := latin1(text); ok {
		return appendChunk(file, "tEXt", n.keyword+"\x00"+latin)
	}
	const uncompressed, language, translation = "\x00\x00", "\x00", "\x00"
	return appendChunk(file, "iTXt", n.keyword+"\x00"+uncompressed+language+translation+text)
}

// latin1 returns text in ISO 8859-1, if it has no character outside that or between its halves,
// where only controls are.
func latin1(text string) (string, bool) {
	latin := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff || r >= 0x7f && r < 0xa0 {
			return "", false
		}
		latin = append(latin, byte(r))
	}
	return string(latin), true
}

// appendChunk appends a PNG chunk: length, type, data, and the checksum of type and data.
func appendChunk(file []byte, kind, data string) []byte {
	file = binary.BigEndian.AppendUint32(file, uint32(len(data)))
	start := len(file)
	file = append(append(file, kind...), data...)
	return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(file[start:]))
}
