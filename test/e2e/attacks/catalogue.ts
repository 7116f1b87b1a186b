/**
 * Every attack that must fail, and the tests that try it. `npm run attacks` runs them and prints the table; a unit test
 * holds that each is in its file.
 */
export interface TriedBy {
  /** From the root of the repository. */
  readonly file: string;
  /** As it stands in the file: a part of the test's name, or a value that its table gives it. */
  readonly name: string;
}

export interface Attack {
  readonly attack: string;
  readonly tests: readonly TriedBy[];
}

const broker = 'test/e2e/attacks/broker-attacks.ts';
const api = 'test/e2e/attacks/api-attacks.ts';
const device = 'test/e2e/attacks/device-attacks.ts';
const director = 'test/e2e/attacks/director-attacks.ts';
const address = 'test/e2e/attacks/address-attacks.ts';
const refusals = 'test/e2e/refusals.test.ts';
const unpack = 'test/integration/package/unpack-archive.test.ts';

const by = (file: string, ...names: readonly string[]): TriedBy[] => names.map((name) => ({ file, name }));

export const attacks: readonly Attack[] = [
  { attack: 'subscribing to `#`', tests: by(broker, "'#',") },
  {
    attack: "subscribing to another device's subtree",
    tests: by(broker, "'flotilla/v1/default/cam-1/#'", "'flotilla/v1/default/cam-1/desired'"),
  },
  { attack: 'subscribing to `$SYS`', tests: by(broker, "'$SYS/#'") },
  {
    attack: '`+` and `$share` tricks',
    tests: by(
      broker,
      "'+/+/+/+/+'",
      "'flotilla/v1/default/cam-2+/desired'",
      "'$share/group/flotilla/v1/default/cam-1/telemetry'",
    ),
  },
  {
    attack: 'publishing as another device',
    tests: by(broker, "'as another device'", "'as another device, its report'"),
  },
  { attack: "publishing to one's own `desired`", tests: by(broker, "'to its own desired'") },
  { attack: 'publishing to `acks`', tests: by(broker, "'to its own acks'") },
  { attack: 'client id of another', tests: by(broker, 'by the client id of another') },
  { attack: 'forged last will', tests: by(broker, 'a last will on %s is never published') },
  {
    attack: 'replayed telemetry and reports',
    tests: [
      ...by(device, 'events that are played back are stored once'),
      ...by('test/integration/cloud-fleet/telemetry.test.ts', 'so that an old batch is not stored again'),
      ...by('test/integration/cloud-fleet/device-messages.test.ts', 'the will of an earlier boot changes nothing'),
    ],
  },
  {
    attack: 'enrolment token reused, of another workspace',
    tests: by(device, 'an enrolment token that was used lets no second device in'),
  },
  { attack: 'enrolment token expired', tests: by('test/e2e/bad-input.test.ts', 'a token that has expired') },
  {
    attack: 'enrolment token of another installation',
    tests: by(address, 'tells its secret to nobody but the server that it pins'),
  },
  {
    attack: 'API token guessed, cut, lengthened',
    tests: by(api, "'a guess'", "'half of one'", "'one with something behind'"),
  },
  { attack: "another workspace's operator token", tests: by(api, 'of an operator of another workspace') },
  {
    attack: 'role too low on every mutating route (from the OpenAPI document)',
    tests: by(
      'test/integration/cloud-operators/role-matrix.test.ts',
      'changes nothing for a reader, unless it is public',
      'lets in exactly whom it says, whoever calls',
    ),
  },
  {
    attack: 'stolen certificate after revocation',
    tests: by(broker, 'that was stolen and revoked is cut off and let in nowhere'),
  },
  {
    attack: 'certificate of another CA, self-signed, none',
    tests: by(broker, "'that is none'", "'that signed itself'", "'of another authority that bears the names of ours'"),
  },
  { attack: 'certificate expired, not yet valid', tests: by(broker, "'that expired'", "'that is not valid yet'") },
  {
    attack: 'desired document signed by an unknown key',
    tests: [...by(director, "'signed by an unknown key'"), ...by(refusals, 'that another director key signed')],
  },
  { attack: 'desired document for another device', tests: by(director, "'for another device'") },
  {
    attack: 'desired document of an older generation',
    tests: [
      ...by(director, "'of an older generation'"),
      ...by(refusals, 'played back by a thief of the control plane'),
    ],
  },
  {
    attack: 'desired document of the same generation with other content',
    tests: by(director, "'of the same generation with other content'"),
  },
  {
    attack: 'command signed by an unknown key, for another device',
    tests: by(director, 'a command %s is neither run nor answered'),
  },
  { attack: 'image signed by nobody', tests: by(device, 'an image that nobody signed is not registered') },
  {
    attack: 'image signed by a publisher whom the device does not know',
    tests: by(refusals, 'an image that a publisher signed whom it was not enrolled with'),
  },
  {
    attack: 'image signed by a withdrawn publisher',
    tests: by('test/e2e/trust.test.ts', 'an image that only the withdrawn publisher signed is not installed'),
  },
  {
    attack: 'archive with `..`, absolute paths, links, devices',
    tests: [
      ...by(
        device,
        "'a path with ..'",
        "'an absolute path'",
        "'a link, and a file through it'",
        "'a hard link'",
        "'a device'",
      ),
      ...by(unpack, "'a named pipe'"),
    ],
  },
  {
    attack: '10 GB of zeros',
    tests: [
      ...by(device, 'ten gigabytes of zeros are refused', "'a claim of gigabytes'"),
      ...by(unpack, 'of a gigabyte of zeros is refused', 'compressed to a thousandth is refused'),
    ],
  },
  { attack: 'JSON 10,000 deep', tests: by(api, '10,000 deep, %s, is refused') },
  { attack: 'prototype pollution', tests: by(api, 'that reaches for a prototype by %s') },
  {
    attack: 'header injection',
    tests: by(api, 'headers with %s are refused whole', 'an id that would break a header'),
  },
  { attack: 'path injection', tests: by(api, '%s leads nowhere', 'a name that is %j is given to nothing') },
  {
    attack: 'token comparison timing',
    tests: by(
      'test/unit/scoring/secret-comparison.test.ts',
      'compares digests of one length, all of them, to their end',
      'compares digests of one length, wherever the token is wrong',
    ),
  },
  {
    attack: 'DNS rebinding on the local API',
    tests: [
      ...by(api, "'a name that was pointed here'"),
      ...by('test/integration/scoring/access.test.ts', 'gRPC by a name that was pointed here'),
    ],
  },
  {
    attack: 'cross-site requests to the local API',
    tests: by(api, "'a form of another site'", "'an image of another site'"),
  },
  {
    attack: 'scoring without a key where others reach the port, or with one that was revoked',
    tests: by(
      'test/e2e/attacks/key-attacks.ts',
      'is not opened to other machines without a key',
      'knows a key from the moment that it is made',
    ),
  },
  {
    attack: 'SSRF through an address that a user gives',
    tests: [
      ...by(
        address,
        'stands in no request of the API',
        "'to install libraries from, without TLS'",
        'to log in at gets no further',
      ),
      ...by('test/integration/agent/install-provider.test.ts', 'does not take a server that it cannot prove'),
    ],
  },
  {
    attack: 'SSRF through the issuer or the keys that a token names',
    tests: by(
      address,
      "'as who made it'",
      "'by where its keys are'",
      "'by where its certificate is'",
      '%s is never asked, and the one of the configuration is',
    ),
  },
  {
    attack: "an impostor at the broker's address, with the right name and another authority",
    tests: by(director, 'without its certificate nothing is heard of the device'),
  },
  {
    attack: 'secrets in logs, files, answers, command lines, bundles',
    tests: by('test/e2e/attacks/canary.ts', 'planted everywhere are found nowhere but where they must be'),
  },
];
