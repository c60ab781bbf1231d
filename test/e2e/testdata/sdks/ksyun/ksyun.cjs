const Client = require(process.env.VENDOR_SDKS + '/sdk-node/dist/service/Monitor/v20100525')
const client = new Client({
  credential: { secretId: 'made-up', secretKey: 'made-up' }, region: 'cn-beijing-6',
  httpProfile: { protocol: 'http://', endpoint: process.argv[2] },
})
client.request('ListMetrics', {}).then(
  async (answer) => { console.log(answer.status, await answer.text()); process.exit() },
  (e) => { console.log(String(e)); process.exit() },
).catch((e) => { console.log(String(e)); process.exit() })
