/**
 * Why a provider does not take a model, for people: onnxruntime's messages start with its own source files
 * and conditions, and repeat themselves on further lines.
 */
const maxLength = 300;

export function providerReason(provider: string, message: string): string {
  if (/backend not found/.test(message)) {
    return `this build of onnxruntime (${process.platform}-${process.arch}) has no ${provider}`;
  }
  if (/Failed to load shared library/.test(message)) {
    return `onnxruntime's library for ${provider}, or one that it needs, is missing: the process's log names it`;
  }
  return plainReason(message);
}

/** One line of it, without source files, addresses and colours. */
function plainReason(message: string): string {
  const text = withoutColours(message)
    .replaceAll(/\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : /g, '')
    // "/src/file.cc:136 some::function(…) condition was false. What it means"
    .replace(/^\S+\.(?:cc|cpp|h|hpp|cu):\d+ .*? was false\. ?/s, '')
    .replaceAll(/\S+\.(?:cc|cpp|h|hpp|cu):\d+\s?/g, '')
    .replaceAll(/\b0x[0-9a-f]{4,}\b/gi, '');
  const line = text
    .split('\n')
    .map((one) => one.replaceAll(/\s+/g, ' ').trim())
    .find((one) => one !== '');
  return (line ?? 'onnxruntime gave no reason').slice(0, maxLength);
}

function withoutColours(text: string): string {
  const start = String.fromCharCode(27);
  return text.replaceAll(new RegExp(`${start}?\\[[0-9;]*m`, 'g'), '');
}
