/** X.509: an authority that devices pin, the server certificates that it signs, and those of its clients. */
import 'reflect-metadata';
import { createPrivateKey, X509Certificate, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 86_400_000;
const authorityLifetimeMs = 20 * 365 * day;
/** What browsers and phones accept at most. */
export const serverLifetimeMs = 397 * day;
/** Clocks of devices may be behind. */
export const backdatingMs = day;

/** A certificate and its private key, PEM: they are made, stored and replaced together. */
export interface KeyedCertificate {
  readonly certificate: string;
  readonly privateKey: string;
}

/** @param successor one that takes the place of another has a name of its own, which is what programs look authorities up by */
export async function createAuthority(nowMs: number, successor = false): Promise<KeyedCertificate> {
  const keys = await generateKeys();
  const serialNumber = newSerial();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber,
    name: `CN=Flotilla control plane authority${successor ? ` ${serialNumber.slice(0, 8)}` : ''}`,
    notBefore: new Date(nowMs - backdatingMs),
    notAfter: new Date(nowMs + authorityLifetimeMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      // One authority may stand below: the successor that it signs when it is replaced.
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false),
    ],
  });
  return keyed(certificate, keys.privateKey);
}

/**
 * The successor's key certified by the authority before it: whoever knows only that one believes the successor by it.
 *
 * @returns PEM
 */
export async function crossCertify(before: KeyedCertificate, successorPem: string, nowMs: number): Promise<string> {
  const issuer = new x509.X509Certificate(before.certificate);
  const successor = new x509.X509Certificate(successorPem);
  const { rawData } = successor.publicKey;
  const publicKey = await webcrypto.subtle.importKey('spki', rawData, algorithm, true, ['verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: successor.subjectName,
    issuer: issuer.subjectName,
    notBefore: new Date(nowMs - backdatingMs),
    notAfter: new Date(Math.min(successor.notAfter.getTime(), issuer.notAfter.getTime())),
    ...(await signingKeyOf(before.privateKey)),
    publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey, false),
      await x509.AuthorityKeyIdentifierExtension.create(issuer, false),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

/** How many authorities may stand between this one and a leaf: infinity where its certificate sets no bound. */
export function pathLengthOf(certificatePem: string): number {
  const constraints = new x509.X509Certificate(certificatePem).getExtension(x509.BasicConstraintsExtension);
  return constraints?.pathLength ?? Number.POSITIVE_INFINITY;
}

/** @param names DNS names and IP addresses, told apart by their form */
export async function createServerCertificate(
  authority: KeyedCertificate,
  names: readonly string[],
  nowMs: number,
): Promise<KeyedCertificate> {
  const keys = await generateKeys();
  const certificate = await signLeaf(authority, {
    commonName: names[0] ?? 'control plane',
    names: names.map((value) => ({ type: isAddress(value) ? 'ip' : 'dns', value })),
    publicKey: keys.publicKey,
    purpose: x509.ExtendedKeyUsage.serverAuth,
    nowMs,
    lifetimeMs: serverLifetimeMs,
  });
  return keyed(certificate, keys.privateKey);
}

export interface ClientSubject {
  readonly commonName: string;
  /** A name that says the same as a URI, for readers that leave common names alone. */
  readonly uri?: string;
}

/**
 * @param publicKey SubjectPublicKeyInfo, DER
 * @returns PEM
 */
export async function signClientCertificate(
  authority: KeyedCertificate,
  { commonName, uri }: ClientSubject,
  publicKey: Uint8Array<ArrayBuffer>,
  { nowMs, lifetimeMs }: { readonly nowMs: number; readonly lifetimeMs: number },
): Promise<string> {
  const certificate = await signLeaf(authority, {
    commonName,
    names: uri === undefined ? [] : [{ type: 'url', value: uri }],
    publicKey: await webcrypto.subtle.importKey('spki', publicKey, algorithm, true, ['verify']),
    purpose: x509.ExtendedKeyUsage.clientAuth,
    nowMs,
    lifetimeMs,
  });
  return `${certificate.toString('pem')}\n`;
}

/** With a key that is made here: for clients of the control plane's own. */
export async function createClientCertificate(
  authority: KeyedCertificate,
  subject: ClientSubject,
  validity: { readonly nowMs: number; readonly lifetimeMs: number },
): Promise<KeyedCertificate> {
  const keys = await generateKeys();
  const publicKey = new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey));
  return {
    certificate: await signClientCertificate(authority, subject, publicKey, validity),
    privateKey: await privateKeyPem(keys.privateKey),
  };
}

interface Leaf {
  readonly commonName: string;
  readonly names: readonly x509.JsonGeneralName[];
  readonly publicKey: webcrypto.CryptoKey;
  readonly purpose: x509.ExtendedKeyUsage;
  readonly nowMs: number;
  readonly lifetimeMs: number;
}

/** The authority that certified last, read. */
let lastIssuer: { readonly pem: string; readonly certificate: x509.X509Certificate } | undefined;

function issuerOf({ certificate: pem }: KeyedCertificate): x509.X509Certificate {
  if (lastIssuer?.pem !== pem) lastIssuer = { pem, certificate: new x509.X509Certificate(pem) };
  return lastIssuer.certificate;
}

async function signLeaf(authority: KeyedCertificate, leaf: Leaf): Promise<x509.X509Certificate> {
  const issuer = issuerOf(authority);
  return x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ CN: [leaf.commonName] }],
    issuer: issuer.subjectName,
    notBefore: new Date(leaf.nowMs - backdatingMs),
    notAfter: new Date(Math.min(leaf.nowMs + leaf.lifetimeMs, issuer.notAfter.getTime())),
    ...(await signingKeyOf(authority.privateKey)),
    publicKey: leaf.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([leaf.purpose]),
      ...(leaf.names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension([...leaf.names])]),
      await x509.SubjectKeyIdentifierExtension.create(leaf.publicKey, false),
      await x509.AuthorityKeyIdentifierExtension.create(issuer, false),
    ],
  });
}

/** SHA-256 of the DER, hex: what an enrolment token pins. */
export function fingerprintOf(certificatePem: string): string {
  return new X509Certificate(certificatePem).fingerprint256.replaceAll(':', '').toLowerCase();
}

/** Does this server certificate still serve: signed by the authority, for all these names, long enough? */
export function stillServes(
  server: KeyedCertificate,
  authority: KeyedCertificate,
  names: readonly string[],
  nowMs: number,
): boolean {
  const certificate = new X509Certificate(server.certificate);
  const issuer = new X509Certificate(authority.certificate);
  const endsAt = Date.parse(certificate.validTo);
  const renewAt = endsAt - serverLifetimeMs / 3;
  return (
    certificate.checkIssued(issuer) &&
    certificate.verify(issuer.publicKey) &&
    nowMs < renewAt &&
    names.every((name) => (isAddress(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined)
  );
}

function isAddress(name: string): boolean {
  return name.includes(':') || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
}

interface SigningKey {
  readonly signingKey: webcrypto.CryptoKey;
  readonly signingAlgorithm: x509.HashedAlgorithm;
}

/** The key that signed last: many devices that enrol at once are certified by one. Already in memory as text. */
let lastImported: { readonly pem: string; readonly key: Promise<SigningKey> } | undefined;

/** What an authority's key signs with: its own kind, since an operator may bring one. */
export function signingKeyOf(privateKeyPem: string): Promise<SigningKey> {
  if (lastImported?.pem !== privateKeyPem) lastImported = { pem: privateKeyPem, key: importSigningKey(privateKeyPem) };
  return lastImported.key;
}

async function importSigningKey(privateKeyPem: string): Promise<SigningKey> {
  const key = createPrivateKey(privateKeyPem);
  const signingAlgorithm =
    key.asymmetricKeyType === 'rsa'
      ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
      : key.asymmetricKeyDetails?.namedCurve === 'secp384r1'
        ? { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }
        : algorithm;
  const der = Uint8Array.from(key.export({ format: 'der', type: 'pkcs8' }));
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, signingAlgorithm, false, ['sign']);
  return { signingKey, signingAlgorithm };
}

async function keyed(certificate: x509.X509Certificate, privateKey: webcrypto.CryptoKey): Promise<KeyedCertificate> {
  return { certificate: `${certificate.toString('pem')}\n`, privateKey: await privateKeyPem(privateKey) };
}

async function privateKeyPem(privateKey: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', privateKey);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

/** Positive, 127 random bits. */
function newSerial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}
