FROM --platform=linux/aarch64 a AS tools-arm64
FROM --platform=x86_64 a AS amd64
FROM --platform=amd64 a AS linux
FROM --platform=LINUX/ARM64 a AS on-arm64
FROM --platform=linux/x86_64 a AS x86_64
FROM --platform=arm64 a AS aarch64
FROM --platform=linux/arm/v7 a AS v7
FROM --platform=${X:-linux/amd64} a
