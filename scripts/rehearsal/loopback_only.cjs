'use strict';

// Loaded by `node --require`: refuses every connection, datagram and name look-up that would leave this machine.
// A refusal is one line on stderr and an ordinary network error for the program. What node starts inherits this by
// NODE_OPTIONS, if it is node; programs of another kind are not held back.

const dgram = require('node:dgram');
const dns = require('node:dns');
const fs = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');
const net = require('node:net');

// The Vercel CLI can replace itself by a compiled twin, which would not load this file.
process.env.VERCEL_CLI_USE_NATIVE_BINARY = '0';

const LOOPBACK = new net.BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

const LOOKS_UP = [
  'lookup', 'lookupService', 'resolve', 'resolve4', 'resolve6', 'resolveAny', 'resolveCaa', 'resolveCname',
  'resolveMx', 'resolveNaptr', 'resolveNs', 'resolvePtr', 'resolveSoa', 'resolveSrv', 'resolveTlsa', 'resolveTxt',
  'reverse',
];

function isLoopback(host) {
  if (host === undefined || host === null || host === '' || host === 'localhost') return true;
  const name = String(host).replace(/^\[|\]$/g, '');
  const family = net.isIP(name);
  return family !== 0 && LOOPBACK.check(name, family === 4 ? 'ipv4' : 'ipv6');
}

function refusal(what, host) {
  const message = `loopback_only: refused ${what} ${host}: only loopback may be reached`;
  fs.writeSync(2, `${message}\n`);
  return Object.assign(new Error(message), { code: 'ELOOPBACKONLY', syscall: 'connect', hostname: String(host) });
}

// `connect` takes (options), (port, host) or (path), each with a callback; `net.connect` passes one list of both.
function hostOf(args) {
  const [first, second] = Array.isArray(args[0]) ? args[0] : args;
  if (first !== null && typeof first === 'object') return first.path ? undefined : first.host;
  return typeof second === 'string' ? second : undefined;
}

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const host = hostOf(args);
  if (isLoopback(host)) return connect.apply(this, args);
  const error = refusal('a connection to', host);
  process.nextTick(() => this.destroy(error));
  return this;
};

// The address is the only text behind the message; a callback, if any, comes last.
for (const name of ['send', 'connect']) {
  const original = dgram.Socket.prototype[name];
  dgram.Socket.prototype[name] = function (...args) {
    const host = args.slice(1).find((each) => typeof each === 'string');
    if (isLoopback(host)) return original.apply(this, args);
    const error = refusal('a datagram to', host);
    const callback = args.at(-1);
    process.nextTick(() => (typeof callback === 'function' ? callback(error) : this.emit('error', error)));
    return undefined;
  };
}

// Even a name server on loopback would ask others. An address needs no look-up, so it may pass `lookup`.
function guardNames(owner, answer) {
  for (const name of LOOKS_UP.filter((each) => typeof owner[each] === 'function')) {
    const original = owner[name];
    owner[name] = function (host, ...rest) {
      const harmless = name === 'lookup' && (isLoopback(host) || net.isIP(host) !== 0);
      return harmless ? original.call(this, host, ...rest) : answer(refusal('to look up', host), rest);
    };
  }
}

const byCallback = (error, rest) => void process.nextTick(rest.at(-1), error);
const byPromise = (error) => Promise.reject(error);
guardNames(dns, byCallback);
guardNames(dns.Resolver.prototype, byCallback);
guardNames(dns.promises, byPromise);
guardNames(dns.promises.Resolver.prototype, byPromise);

syncBuiltinESMExports(); // without it `import { lookup } from 'node:dns'` gets the unguarded one
