// A program on Node 24 or later that fetches a URL in each way that it has.
import http from 'node:http'
import https from 'node:https'
import * as undici from 'undici'

const [how, url] = process.argv.slice(2)
const ways = {
  fetch: async () => (await fetch(url)).status,
  modules: () => new Promise((resolve, reject) => {
    (url.startsWith('https:') ? https : http).get(url, (res) => res.resume().on('end', () => resolve(res.statusCode))).on('error', reject)
  }),
  'undici fetch': async () => (await undici.fetch(url)).status,
  'undici request': async () => {
    const { statusCode, body } = await undici.request(url)
    await body.text()
    return statusCode
  },
  'undici agent': async () => (await undici.fetch(url, { dispatcher: new undici.EnvHttpProxyAgent() })).status,
}
console.log(await ways[how]())
