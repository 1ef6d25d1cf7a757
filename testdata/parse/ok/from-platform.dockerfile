FROM --platform=$BUILDPLATFORM debian AS b
