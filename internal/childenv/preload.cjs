// Makes the http and https modules and fetch of Node before 24 use HTTP_PROXY,
// HTTPS_PROXY and NO_PROXY, as later versions do with NODE_USE_ENV_PROXY. Loaded by
// ksyun-tap exec; an error in it does not affect the program.
'use strict'
try {
  if (Number(process.versions.node.split('.')[0]) < 24) useProxy()
} catch {}

function useProxy() {
  const http = require('http')
  const https = require('https')
  const tls = require('tls')
  const proxies = { 'http:': parse(process.env.HTTP_PROXY), 'https:': parse(process.env.HTTPS_PROXY) }

  function parse(text) {
    return text && text.startsWith('http://') ? new URL(text) : null
  }

  // proxyFor returns the proxy for a server, null for none.
  function proxyFor(protocol, host, port) {
    host = String(host).toLowerCase().replace(/^\[|\]$/g, '')
    for (let entry of (process.env.NO_PROXY || '').toLowerCase().split(/[\s,]+/)) {
      const withPort = /^(.+):(\d+)$/.exec(entry)
      if (withPort && !withPort[1].includes(':')) {
        if (Number(withPort[2]) !== Number(port)) continue
        entry = withPort[1]
      }
      entry = entry.replace(/^\*?\./, '')
      if (entry === '*' || entry !== '' && (host === entry || host.endsWith('.' + entry))) return null
    }
    return proxies[protocol]
  }

  const authority = (host, port) => `${String(host).includes(':') && !String(host).startsWith('[') ? `[${host}]` : host}:${port}`

  // tunnel opens a connection through the proxy and begins TLS on it.
  function tunnel(proxy, options, done) {
    const to = authority(options.host, options.port)
    const req = http.request({
      host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: to, headers: { Host: to }, agent: new http.Agent(),
    })
    req.once('error', done)
    req.once('connect', (res, socket) => {
      if (res.statusCode !== 200) {
        socket.destroy()
        done(new Error(`the proxy answers CONNECT with status ${res.statusCode}`))
        return
      }
      done(null, tls.connect({ ...options, socket, path: undefined }))
    })
    req.end()
  }

  const createConnection = https.Agent.prototype.createConnection
  https.Agent.prototype.createConnection = function (options, done) {
    const proxy = !options.socketPath && typeof done === 'function' && proxyFor('https:', options.host, options.port || 443)
    if (!proxy) return createConnection.apply(this, arguments)
    tunnel(proxy, { ...options, port: options.port || 443, servername: options.servername || options.host }, done)
  }

  const addRequest = http.Agent.prototype.addRequest
  http.Agent.prototype.addRequest = function (req, options) {
    const port = options.port || 80
    const proxy = this.protocol === 'http:' && !options.socketPath && req.path.startsWith('/') &&
      proxyFor('http:', options.host, port)
    if (!proxy) return addRequest.apply(this, arguments)
    const path = req.path
    req.path = `http://${authority(options.host, port).replace(/:80$/, '')}${path}`
    if (req._header) { // was written already
      const line = req._header.replace(path, () => req.path)
      if (req.outputData.length > 0) req.outputData[0].data = req.outputData[0].data.replace(req._header, () => line)
      req._header = line
    }
    return addRequest.call(this, req, { ...options, host: proxy.hostname, port: proxy.port, servername: undefined })
  }

  const fetch = globalThis.fetch
  if (typeof fetch !== 'function') return
  let ready = false
  globalThis.fetch = function (...args) {
    if (!ready) {
      ready = true
      try { proxyFetch() } catch {}
    }
    return fetch.apply(this, args)
  }

  // proxyFetch replaces what fetch connects by, which is made with it.
  function proxyFetch() {
    const key = Symbol.for('undici.globalDispatcher.1')
    void globalThis.Headers
    const Agent = globalThis[key].constructor
    if (Agent.name !== 'Agent') return // somebody else's
    const plain = globalThis[key]
    class ProxyDispatcher extends Agent {
      dispatch(options, handler) {
        const origin = new URL(options.origin)
        const proxy = origin.protocol === 'http:' && proxyFor('http:', origin.hostname, origin.port || 80)
        if (!proxy) {
          const through = proxyFor(origin.protocol, origin.hostname, origin.port || 443)
          return through ? super.dispatch(options, handler) : plain.dispatch(options, handler)
        }
        const headers = Array.isArray(options.headers) ? [...options.headers, 'host', origin.host] : { ...options.headers, host: origin.host }
        return plain.dispatch({ ...options, origin: proxy.origin, path: origin.origin + options.path, headers }, handler)
      }
    }
    globalThis[key] = new ProxyDispatcher({
      connect(options, done) {
        const port = options.port || 443
        tunnel(proxyFor('https:', options.hostname, port), {
          host: options.hostname, port, servername: options.servername || options.hostname, ALPNProtocols: ['http/1.1'],
        }, (err, socket) => {
          if (err) return done(err, null)
          socket.once('secureConnect', () => done(null, socket))
          socket.once('error', (err) => done(err, null))
        })
      },
    })
  }
}
