#include "go_asm.h"
#include "textflag.h"

DATA quote<>(SB)/8, $0x2222222222222222
GLOBL quote<>(SB), RODATA|NOPTR, $8
DATA backslash<>(SB)/8, $0x5c5c5c5c5c5c5c5c
GLOBL backslash<>(SB), RODATA|NOPTR, $8
DATA open<>(SB)/8, $0x7b7b7b7b7b7b7b7b
GLOBL open<>(SB), RODATA|NOPTR, $8
DATA close<>(SB)/8, $0x7d7d7d7d7d7d7d7d
GLOBL close<>(SB), RODATA|NOPTR, $8
// The bit in which a brace differs from the bracket of its kind.
DATA brace<>(SB)/8, $0x2020202020202020
GLOBL brace<>(SB), RODATA|NOPTR, $8

// SET stores where the bytes of Y6 and Y7 equal those of WANT.
#define SET(WANT, FIELD) \
	VPCMPEQB  Y6, WANT, Y8; \
	VPCMPEQB  Y7, WANT, Y9; \
	VPMOVMSKB Y8, AX; \
	VPMOVMSKB Y9, BX; \
	SHLQ      $32, BX; \
	ORQ       BX, AX; \
	MOVQ      AX, FIELD(DI)

// func findAVX2(blocks []Block, text []byte)
TEXT ·findAVX2(SB), NOSPLIT, $0-48
	MOVQ         blocks_base+0(FP), DI
	MOVQ         blocks_len+8(FP), CX
	MOVQ         text_base+24(FP), SI
	VPBROADCASTQ quote<>(SB), Y1
	VPBROADCASTQ backslash<>(SB), Y2
	VPBROADCASTQ open<>(SB), Y3
	VPBROADCASTQ close<>(SB), Y4
	VPBROADCASTQ brace<>(SB), Y5

block:
	VMOVDQU (SI), Y6
	VMOVDQU 32(SI), Y7
	SET(Y1, Block_Quotes)
	SET(Y2, Block_Backslashes)
	VPOR    Y5, Y6, Y6
	VPOR    Y5, Y7, Y7
	SET(Y3, Block_Open)
	SET(Y4, Block_Close)
	ADDQ    $const_BlockSize, SI
	ADDQ    $Block__size, DI
	DECQ    CX
	JNZ     block
	VZEROUPPER
	RET
