// Checks and makes credentials with another implementation than ours. Reads one JSON object on
// standard input, writes one. Nothing is fetched: what is not given is not to be had.
//
//   {"do": "check", "credential", "status_list", "issuer", "key_id", "key", "documents"}
//       -> {"verified", "reason", "revoked"}
//   {"do": "issue", "documents": {…}, "key_id", "secret", "credentials": [{…}, …], "revoked": [index]}
//       -> {"key", "credentials": [signed, …], "status_list": signed}

import * as Ed25519Multikey from '@digitalbazaar/ed25519-multikey';
import * as statusLists from '@digitalbazaar/vc-bitstring-status-list';
import * as vc from '@digitalbazaar/vc';
import {createSignCryptosuite, createVerifyCryptosuite}
  from '@digitalbazaar/eddsa-jcs-2022-cryptosuite';
import {DataIntegrityProof} from '@digitalbazaar/data-integrity';
import {contexts as credentialContexts} from '@digitalbazaar/credentials-context';
import {contexts as multikeyContexts} from '@digitalbazaar/multikey-context';
import jsonld from 'jsonld';

function loader(documents) {
  const known = new Map([...credentialContexts, ...multikeyContexts, ...Object.entries(documents)]);
  return async url => {
    if(!known.has(url)) {
      throw new Error(`not to be had: ${url}`);
    }
    return {contextUrl: null, documentUrl: url, document: structuredClone(known.get(url))};
  };
}

function why(error) {
  const parts = [error?.message, ...(error?.errors ?? []).map(each => each.message)];
  return parts.filter(Boolean).join(' ');
}

async function check({credential, status_list, issuer, key_id, key, documents}) {
  const method = {
    '@context': 'https://w3id.org/security/multikey/v1',
    id: key_id, type: 'Multikey', controller: issuer, publicKeyMultibase: key
  };
  const controller = {
    '@context': 'https://www.w3.org/ns/did/v1', id: issuer, assertionMethod: [method]
  };
  const documentLoader = loader({
    ...documents,
    [key_id]: method,
    [issuer]: controller,
    ...(status_list ? {[status_list.id]: status_list} : {})
  });
  const suite = new DataIntegrityProof({cryptosuite: createVerifyCryptosuite()});
  // Every term is defined by the contexts: a reader of JSON-LD sees all of it.
  await jsonld.expand(structuredClone(credential), {documentLoader, safe: true});
  const result = await vc.verifyCredential({
    credential, suite, documentLoader,
    checkStatus: async () => ({verified: true})
  });
  const answer = {verified: result.verified, reason: why(result.error), revoked: null};
  if(result.verified && credential.credentialStatus) {
    const status = await statusLists.checkStatus({
      credential, suite, documentLoader, verifyBitstringStatusListCredential: true
    });
    answer.verified = status.verified;
    answer.reason = why(status.error);
    answer.revoked = status.results?.[0]?.status ?? null;
  }
  return answer;
}

async function issue({documents, key_id, issuer, credentials, revoked, list_id, valid}) {
  const pair = await Ed25519Multikey.generate({id: key_id, controller: issuer});
  const suite = () => new DataIntegrityProof({
    signer: pair.signer(), cryptosuite: createSignCryptosuite()
  });
  const documentLoader = loader(documents);
  const list = await statusLists.createList({length: 131072});
  for(const index of revoked) {
    list.setStatus(index, true);
  }
  const listed = await statusLists.createCredential({
    id: list_id, list, statusPurpose: 'revocation'
  });
  const sign = credential => vc.issue({credential, suite: suite(), documentLoader});
  const signed = [];
  for(const credential of credentials) {
    signed.push(await sign(credential));
  }
  const exported = await pair.export({publicKey: true});
  return {
    key: exported.publicKeyMultibase,
    credentials: signed,
    status_list: await sign({...listed, issuer, ...valid})
  };
}

const parts = [];
for await (const part of process.stdin) {
  parts.push(part);
}
const asked = JSON.parse(Buffer.concat(parts));
let answer;
try {
  answer = await {check, issue}[asked.do](asked);
} catch(error) {
  answer = {verified: false, reason: why(error) || String(error), revoked: null};
}
process.stdout.write(JSON.stringify(answer));
