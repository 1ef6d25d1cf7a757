FROM --platform=$BUILDPLATFORM a
FROM --platform=linux/arm64 a AS build_arm64
FROM --platform=linux/amd64 a AS linux-tools
FROM a
