// A program that calls the API with Node's own https module and knows no
// proxy: the API's name leads to the tap, as by a hosts file.
import { createHmac } from 'node:crypto'
import https from 'node:https'

const [accessKey, secretKey, address] = process.argv.slice(2)
const [host, port] = address.split(':')
const encode = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase())

function call(fields) {
  const params = {
    Action: 'ListMetrics', Version: '2010-05-25', Service: 'monitor', Accesskey: accessKey,
    SignatureVersion: '1.0', SignatureMethod: 'HMAC-SHA256', Timestamp: new Date().toISOString().replace(/\.\d+/, ''),
  }
  let query = Object.keys(params).sort().map((k) => encode(k) + '=' + encode(params[k])).join('&')
  query += '&Signature=' + createHmac('sha256', secretKey).update(query).digest('hex')
  return new Promise((resolve, reject) => {
    https.get({
      hostname: 'monitor.api.ksyun.com', port, path: '/?' + query,
      lookup: (_, options, done) => options.all ? done(null, [{ address: host, family: 4 }]) : done(null, host, 4),
      headers: { Host: 'monitor.api.ksyun.com', Accept: 'application/json', ...fields },
    }, (res) => { res.resume(); res.on('end', () => { console.log(res.statusCode); resolve() }) }).on('error', reject)
  })
}

await call({})
await call({ 'X-Simulate': 'error=LimitExceeded' })
