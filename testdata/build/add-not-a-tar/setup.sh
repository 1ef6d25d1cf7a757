printf plain | gzip -n >a.gz
