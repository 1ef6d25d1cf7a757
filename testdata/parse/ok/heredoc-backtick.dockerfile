# escape=`
FROM a
COPY <<EOF /x
c:\ `
$A
EOF
