FROM a
ONBUILD FROM a
onbuild from a
