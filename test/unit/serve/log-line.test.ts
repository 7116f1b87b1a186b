import { describe, expect, it } from 'vitest';
import { readableLine } from '#cloud/serve/log-line.js';

describe('a line of a log', () => {
  it.each([
    ['{"level":30,"msg":"counting"}', 'counting'],
    ['{"level":40,"msg":"slow"}', 'warning: slow'],
    ['{"level":50,"msg":"a request failed","err":{"message":"no such key"}}', 'error: a request failed: no such key'],
    ['{"level":50,"msg":"no such key","err":{"message":"no such key"}}', 'error: no such key'],
    ['{"level":50,"msg":"odd","err":null}', 'error: odd'],
    ['loading the words', 'loading the words'],
    ['{"scored": 3}', '{"scored": 3}'],
    ['{not json', '{not json'],
  ])('%s reads %s', (line, text) => {
    expect(readableLine(line)).toBe(text);
  });
});
