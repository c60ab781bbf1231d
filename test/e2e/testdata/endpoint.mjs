// A program that calls the API with fetch, and signs as the vendor's Node SDK
// does, its odd date included. Like that SDK it knows no proxy, but can be
// given another endpoint.
import { createHash, createHmac } from 'node:crypto'

const [endpoint, accessKey, secretKey] = process.argv.slice(2)
const sha256 = (s) => createHash('sha256').update(s).digest('hex')
const hmac = (key, s) => createHmac('sha256', key).update(s).digest()

async function call(fields) {
  const query = 'Action=ListMetrics&Version=2010-05-25'
  const date = new Date().toISOString().replace(/[-:]|\.\d+Z/g, '') + '+00:00'
  const day = date.slice(0, 8)
  const scope = `${day}/cn-beijing-6/monitor/aws4_request`
  const canonical = ['GET', '/', query, `host:${new URL(endpoint).host}`, `x-amz-date:${date}`, '', 'host;x-amz-date', sha256('')].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')
  const key = scope.split('/').reduce((k, part) => hmac(k, part), 'AWS4' + secretKey)
  const signature = hmac(key, toSign).toString('hex')
  const res = await fetch(`${endpoint}/?${query}`, {
    headers: {
      'X-Amz-Date': date, Accept: 'application/json', ...fields,
      Authorization: `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=host;x-amz-date, Signature=${signature}`,
    },
  })
  await res.arrayBuffer()
  console.log(res.status)
}

await call({})
await call({ 'X-Simulate': 'error=LimitExceeded' })
