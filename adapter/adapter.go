// Package adapter holds the small networks that add a way of conditioning to a U-Net that was trained
// without it, and leave its own weights alone.
//
// An [ImagePrompt] (IP-Adapter: Ye et al. 2023, "IP-Adapter: Text compatible image prompt adapter for
// text-to-image diffusion models") turns what an image encoder says about a picture into tokens,
// and brings keys and values of its own for them, so that a picture is a prompt beside the text:
//
//	ip, err := adapter.LoadImagePrompt(e, os.DirFS("IP-Adapter/models"), "ip-adapter_sd15.safetensors")
//	m, err = m.Adapt(ip)                        // a unet.Model with one more slot for contexts
//	tokens, err := ip.Tokens(ctx, embedding)    // of clip.VisionModel
//	style := cond.Image(1, tokens, 0.6)
//
// A [T2I] (T2I-Adapter: Mou et al. 2023, "T2I-Adapter: Learning adapters to dig out more controllable
// ability for text-to-image diffusion models") turns a picture of edges, depth or poses into
// features of several sizes, which are added to the U-Net's own on the way down. They are computed
// once for a picture, not once a step:
//
//	t, err := adapter.LoadT2I(e, os.DirFS("t2iadapter_canny_sd15v2"))
//	s, err := t.Session(1, 512, 512)
//	features, err := s.Forward(ctx, edges)
//	shape := cond.Cond{Residual: []cond.Residual{features}}
package adapter
