FROM --platform=linux/amd64 a
# check=skip=FromPlatformFlagConstDisallowed
FROM --platform=linux/arm64 b
