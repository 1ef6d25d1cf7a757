touch -d "2001-02-03 04:05:06 UTC" t/f
ln -s f t/l
touch -h -d "2002-01-01 00:00:00 UTC" t/l
touch -d "2003-01-01 00:00:00 UTC" t/d/g t/d
touch -d "2004-01-01 00:00:00 UTC" t
