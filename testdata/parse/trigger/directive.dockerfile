# escape=`
RUN a `
 b