/** `--variant gpu/fp16=detector-gpu:5`, from what was typed. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { acceleratorKinds, type AcceleratorKind, type Precision, precisions } from '#shared/protocol/accelerators.js';
import { maxVariants } from '#shared/protocol/desired.js';
import { parseImageReference } from './argument-parsers.js';

export interface VariantGiven {
  readonly accelerator: AcceleratorKind;
  readonly precision: Precision;
  /** `name:version` or a digest. */
  readonly reference: string;
}

/** @throws AppError `request.invalid` that says which and what would be right */
export function parseVariants(texts: readonly string[]): VariantGiven[] {
  if (texts.length > maxVariants) throw invalid(`at most ${String(maxVariants)} variants, not ${String(texts.length)}`);
  const given = texts.map(parseVariant);
  const references = given.map(({ reference }) => reference);
  const twice = references.find((one, place) => references.indexOf(one) !== place);
  if (twice !== undefined) throw invalid(`${twice} is given twice; give it once`);
  return given;
}

function parseVariant(text: string): VariantGiven {
  const [, kind = '', numbers = '', image = ''] = /^([^/=]*)\/([^/=]*)=(.*)$/.exec(text) ?? [];
  const accelerator = acceleratorKinds.find((one) => one === kind);
  const precision = precisions.find((one) => one === numbers);
  if (accelerator === undefined || precision === undefined) {
    throw invalid(
      `"${text.slice(0, 100)}" is no variant; write for example gpu/fp16=detector-gpu:5, with one of ${acceleratorKinds.join(', ')} and one of ${precisions.join(', ')}`,
    );
  }
  return { accelerator, precision, reference: parseImageReference(image) };
}

function invalid(message: string): AppError {
  return new AppError('request.invalid', message);
}
