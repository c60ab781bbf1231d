#include "go_asm.h"
#include "textflag.h"

// SET stores where the bytes of V0 to V3 equal those of WANT. Adding neighbours
// three times gathers the bits, each of which is at its place in its byte.
#define SET(WANT, FIELD) \
	VCMEQ WANT.B16, V0.B16, V16.B16; \
	VCMEQ WANT.B16, V1.B16, V17.B16; \
	VCMEQ WANT.B16, V2.B16, V18.B16; \
	VCMEQ WANT.B16, V3.B16, V19.B16; \
	VAND  V9.B16, V16.B16, V16.B16; \
	VAND  V9.B16, V17.B16, V17.B16; \
	VAND  V9.B16, V18.B16, V18.B16; \
	VAND  V9.B16, V19.B16, V19.B16; \
	VADDP V17.B16, V16.B16, V16.B16; \
	VADDP V19.B16, V18.B16, V18.B16; \
	VADDP V18.B16, V16.B16, V16.B16; \
	VADDP V16.B16, V16.B16, V16.B16; \
	VMOV  V16.D[0], R3; \
	MOVD  R3, FIELD(R0)

// func find(blocks []Block, text []byte)
TEXT ·find(SB), NOSPLIT, $0-48
	MOVD  blocks_base+0(FP), R0
	MOVD  blocks_len+8(FP), R1
	MOVD  text_base+24(FP), R2
	VMOVI $0x22, V4.B16 // a quote
	VMOVI $0x5c, V5.B16 // a backslash
	VMOVI $0x7b, V6.B16 // an opening brace
	VMOVI $0x7d, V7.B16 // a closing brace
	VMOVI $0x20, V8.B16 // the bit in which a brace differs from the bracket of its kind
	MOVD  $0x8040201008040201, R3
	VMOV  R3, V9.D[0]
	VMOV  R3, V9.D[1]

block:
	VLD1.P 64(R2), [V0.B16, V1.B16, V2.B16, V3.B16]
	SET(V4, Block_Quotes)
	SET(V5, Block_Backslashes)
	VORR   V8.B16, V0.B16, V0.B16
	VORR   V8.B16, V1.B16, V1.B16
	VORR   V8.B16, V2.B16, V2.B16
	VORR   V8.B16, V3.B16, V3.B16
	SET(V6, Block_Open)
	SET(V7, Block_Close)
	ADD    $Block__size, R0
	SUBS   $1, R1
	BNE    block
	RET
