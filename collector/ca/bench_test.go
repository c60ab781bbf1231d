package ca

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkMint makes a leaf, with its key.
func BenchmarkMint(b *testing.B) {
	c := mustOpen(b, Config{})
	a := c.view.Load().all[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.sign(host, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCertificate finds a leaf in a full cache.
func BenchmarkCertificate(b *testing.B) {
	c := mustOpen(b, Config{})
	for i := range DefaultCacheSize {
		mustCert(b, c, fmt.Sprintf("h%d.api.ksyun.com", i))
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Certificate("h7.api.ksyun.com"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := c.Certificate("h7.api.ksyun.com"); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkRefresh is what Maintain costs every minute, where nothing changed.
func BenchmarkRefresh(b *testing.B) {
	c := mustOpen(b, Config{Dir: privateDir(b), Roots: SystemRoots})
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Refresh(); err != nil {
			b.Fatal(err)
		}
	}
}
