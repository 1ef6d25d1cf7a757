setfattr -n user.kiln -v one f
setfattr -n user.kiln -v two d
