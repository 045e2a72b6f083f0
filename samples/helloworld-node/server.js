// Shows which Node.js version the base image says it is.
const http = require('http');

const version = process.env.NODE_VERSION;

http.createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/plain' });
  response.end(`Hello World\nVersion: ${version}\n`);
}).listen(process.env.PORT || 80);
