package unet

import "github.com/lanewise/lanewise/cond"

type (
	Cond    = cond.Cond
	Context = cond.Context
)
