# escape=`
FROM a
