module github.com/ksyun-tap/ksyun-tap/tools

go 1.26.7

require github.com/google/licensecheck v0.3.1
