// Calls with node-fetch or, if the second argument is "builtin", with Node's fetch.
import nodeFetch from 'node-fetch'

const [host, which] = process.argv.slice(2)
try {
  const answer = await (which === 'builtin' ? fetch : nodeFetch)(`http://${host}/?Action=ListMetrics&Version=2010-05-25`)
  await answer.text()
  console.log(answer.status)
} catch (e) {
  console.log(String(e), String(e.cause ?? ''))
}
