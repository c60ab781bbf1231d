package redirect

import (
	"context"
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

func (nft) works(context.Context) error {
	_, err := (&nftables.Conn{}).ListTables()
	return explain(err)
}

// Remove implements Backend.
func (nft) Remove(context.Context) error {
	kernel := &nftables.Conn{}
	removeTable(kernel)
	return explain(kernel.Flush())
}

// removeTable adds the table before deleting it, because deleting a table that
// does not exist is an error.
func removeTable(kernel *nftables.Conn) *nftables.Table {
	table := kernel.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyINet})
	kernel.DelTable(table)
	return table
}

// Install implements Backend.
func (nft) Install(_ context.Context, r *Rules) error {
	kernel := &nftables.Conn{} // Flush sends everything as one transaction
	table := kernel.AddTable(removeTable(kernel))
	accept := nftables.ChainPolicyAccept
	chain := kernel.AddChain(&nftables.Chain{
		Name: "output", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest, Policy: &accept,
	})
	leave := func(when ...expr.Any) {
		kernel.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(when, &expr.Verdict{Kind: expr.VerdictReturn})})
	}
	leave(is(expr.MetaKeyOIFNAME, append([]byte("lo"), make([]byte, unix.IFNAMSIZ-len("lo"))...))...)
	for _, uid := range r.ExcludeUIDs {
		leave(is(expr.MetaKeySKUID, native(uid))...)
	}
	if r.ExcludeMark != 0 {
		leave(is(expr.MetaKeyMARK, native(r.ExcludeMark))...)
	}
	for _, p := range r.ExcludeCIDRs {
		leave(bound(p)...)
	}

	ports := &nftables.Set{Table: table, Anonymous: true, Constant: true, KeyType: nftables.TypeInetService}
	elements := make([]nftables.SetElement, len(r.Ports))
	for i, p := range r.Ports {
		elements[i].Key = network(p)
	}
	if err := kernel.AddSet(ports, elements); err != nil {
		return explain(err)
	}
	kernel.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(
		is(expr.MetaKeyL4PROTO, []byte{unix.IPPROTO_TCP}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 1, SetName: ports.Name, SetID: ports.ID},
		&expr.Immediate{Register: 1, Data: network(r.To)},
		&expr.Redir{RegisterProtoMin: 1, Flags: unix.NF_NAT_RANGE_PROTO_SPECIFIED},
	)})
	return explain(kernel.Flush())
}

// is matches packets with a metadata value.
func is(key expr.MetaKey, value []byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value},
	}
}

// bound matches packets whose destination is in a network.
func bound(p netip.Prefix) []expr.Any {
	family, offset := byte(unix.NFPROTO_IPV6), uint32(24) // of the destination address in the header
	if p.Addr().Is4() {
		family, offset = unix.NFPROTO_IPV4, 16
	}
	address := p.Masked().Addr().AsSlice()
	length := uint32(len(address)) //nolint:gosec // 4 or 16
	mask := make([]byte, length)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return append(is(expr.MetaKeyNFPROTO, []byte{family}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length, Mask: mask, Xor: make([]byte, length)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: address})
}

func native(n uint32) []byte  { return binary.NativeEndian.AppendUint32(nil, n) }
func network(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
