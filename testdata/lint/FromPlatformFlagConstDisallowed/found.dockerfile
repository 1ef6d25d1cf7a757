FROM --platform=linux/amd64 a
FROM --platform=linux/arm64 a AS build
