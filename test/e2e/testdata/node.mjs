// A program that calls the API, over HTTPS unless told otherwise, with what Node has, or with
// node-fetch, and sets up no proxy and no CA.
import { createHmac } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'

const [how, accessKey, secretKey, scheme = 'https'] = process.argv.slice(2)
const encode = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase())

const ways = {
  fetch: async (url, headers) => drain(await fetch(url, { headers })),
  'node-fetch': async (url, headers) => drain(await (await import('node-fetch')).default(url, { headers })),
  https: (url, headers) => new Promise((resolve, reject) => {
    modules[scheme].get(url, { headers }, (res) => res.resume().on('end', () => resolve(res.statusCode))).on('error', reject)
  }),
  agent: (url, headers) => new Promise((resolve, reject) => {
    modules[scheme].get(url, { headers, agent }, (res) => res.resume().on('end', () => resolve(res.statusCode))).on('error', reject)
  }),
}
const modules = { http, https }
const agent = new modules[scheme].Agent({ keepAlive: true })

async function drain(res) {
  await res.text()
  return res.status
}

async function call(fields) {
  const params = {
    Action: 'ListMetrics', Version: '2010-05-25', Service: 'monitor', Accesskey: accessKey,
    SignatureVersion: '1.0', SignatureMethod: 'HMAC-SHA256', Timestamp: new Date().toISOString().replace(/\.\d+/, ''),
  }
  let query = Object.keys(params).sort().map((k) => encode(k) + '=' + encode(params[k])).join('&')
  query += '&Signature=' + createHmac('sha256', secretKey).update(query).digest('hex')
  console.log(await ways[how](scheme + '://monitor.api.ksyun.com/?' + query, { Accept: 'application/json', ...fields }))
}

await call({})
await call({ 'X-Simulate': 'error=LimitExceeded' })
agent.destroy()
