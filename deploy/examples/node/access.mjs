// How to reach an engine that asks who calls: whom to trust, and what to show. The variables are
// those of the `headgate` command and of the Python client.
import { readFileSync } from 'node:fs';
import grpc from '@grpc/grpc-js';

const TRUE = ['1', 'true', 'yes', 'on'];

export function accessFromEnvironment(env = process.env) {
  return {
    tls: TRUE.includes((env.HEADGATE_ENGINE_TLS ?? '').toLowerCase()),
    caFile: env.HEADGATE_ENGINE_CA_FILE,
    certificateFile: env.HEADGATE_ENGINE_CERTIFICATE_FILE,
    keyFile: env.HEADGATE_ENGINE_KEY_FILE,
    tokenFile: env.HEADGATE_TOKEN_FILE,
    token: env.HEADGATE_TOKEN,
  };
}

// Credentials of the channel, and options by which every call shows the token.
export function credentialsFor(address, access) {
  const { tls, caFile, certificateFile, keyFile, tokenFile, token } = access;
  const read = (file) => (file ? readFileSync(file) : null);
  if (!certificateFile !== !keyFile) throw new Error('expected a certificate with its key, or neither');
  const isEncrypted = tls || caFile || certificateFile;
  const hasToken = tokenFile || token;
  if (hasToken && !isEncrypted && !isLoopback(address)) {
    throw new Error(`expected TLS to ${address}: the token would go over the network for all to read`);
  }
  const credentials = isEncrypted
    ? grpc.credentials.createSsl(read(caFile), read(keyFile), read(certificateFile))
    : grpc.credentials.createInsecure();
  // Read with every call: a token that is renewed needs no restart.
  const present = () => (tokenFile ? readFileSync(tokenFile, 'utf8').trim() : token);
  return { credentials, options: hasToken ? { interceptors: [showing(present)] } : {} };
}

function showing(present) {
  return (options, nextCall) =>
    new grpc.InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        metadata.set('authorization', `Bearer ${present()}`);
        next(metadata, listener);
      },
    });
}

function isLoopback(address) {
  const host = address.slice(0, address.lastIndexOf(':'));
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}
