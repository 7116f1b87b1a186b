/**
 * Reads what an ONNX file says about itself: signature, versions, metadata, and where its weights
 * are. Never loads the weights, and never runs anything. Any bytes give a model or an AppError.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import { type Field, MalformedError, ProtobufCursor } from './protobuf-cursor.js';
import { integer, message, readDescription, type TensorDescription } from './tensor-type.js';
import { type ExternalTensor, quote, readEntry, type TensorExtent, TensorWalk } from './tensor-walk.js';

export type { TensorDescription } from './tensor-type.js';
export type { ExternalTensor, TensorExtent } from './tensor-walk.js';

export interface OnnxSignature {
  /** What a caller must give: inputs that have an initializer as their default are left out. */
  readonly inputs: TensorDescription[];
  readonly outputs: TensorDescription[];
  /** Version by operator set; the default set is `ai.onnx`. */
  readonly opsets: Record<string, number>;
  readonly irVersion: number;
  /** Name and version of what wrote the file. */
  readonly producer: string;
  readonly description: string;
  readonly metadata: Record<string, string>;
}

export interface OnnxModel {
  readonly signature: OnnxSignature;
  /** Weights of 4 KiB and more in this file, ascending, disjoint. */
  readonly tensors: TensorExtent[];
  /** Weights in files beside this one. */
  readonly externalTensors: ExternalTensor[];
  /** Those files, relative to this one's folder, sorted. */
  readonly externalFiles: string[];
}

const maxShortTextBytes = 4096;
const maxDescriptionBytes = 16 * 1024;
const maxMetadataValueBytes = 64 * 1024;
const maxMetadataEntries = 1024;
const maxOpsets = 256;
const maxPorts = 64 * 1024;

/** @throws AppError `model.not-onnx` or `model.invalid`; `disk.failed` when the file cannot be read */
export async function readOnnx(path: string): Promise<OnnxModel> {
  const size = await sizeOf(path);
  if (size === 0) throw new AppError('model.not-onnx', `${path} is empty`);
  const file = await open(path, 'r').catch((error: unknown) => {
    throw diskError(error, `cannot read ${path}`);
  });
  try {
    await refuseOtherForms(file, size, path);
    return await readOpened(file, size, path);
  } finally {
    await file.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    const found = await stat(path);
    // A named pipe would keep its reader waiting for ever.
    if (!found.isFile()) throw new AppError('model.invalid', `${path} is not a file; give the path of an .onnx file`);
    return found.size;
  } catch (error) {
    if (error instanceof AppError) throw error;
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') {
      throw new AppError('model.invalid', `there is no file ${path}; give the path of an .onnx file`, { cause: error });
    }
    throw diskError(error, `cannot read ${path}`);
  }
}

/** Protobuf's own limit, which no reader of ONNX goes beyond. */
const maxFileBytes = 2 ** 31 - 1;

async function refuseOtherForms(file: FileHandle, size: number, path: string): Promise<void> {
  const { buffer } = await file.read(Buffer.alloc(8), 0, 8, 0);
  if (buffer.toString('latin1', 4) === 'ORTM') {
    throw new AppError(
      'model.not-onnx',
      `${path} is a model in onnxruntime's own format, tied to one version and kind of machine: give the .onnx file that it was made from`,
    );
  }
  if (size > maxFileBytes) {
    throw new AppError(
      'model.invalid',
      `${path} has ${String(size)} bytes, and an ONNX file holds at most ${String(maxFileBytes)}: save the weights beside it (onnx.save_model(model, path, save_as_external_data=True)) and give those files too`,
    );
  }
}

async function readOpened(file: FileHandle, size: number, path: string): Promise<OnnxModel> {
  const reading = new ModelReading(new ProtobufCursor(file, size));
  try {
    await reading.readModel(size);
    return reading.finish();
  } catch (error) {
    if (error instanceof MalformedError) {
      throw reading.looksLikeOnnx()
        ? new AppError('model.invalid', `${path} is no valid ONNX model: ${error.message}`)
        : new AppError('model.not-onnx', `${path} is not an ONNX model: ${error.message}`);
    }
    if (errno(error) !== undefined) throw diskError(error, `cannot read ${path}`);
    throw new AppError('model.invalid', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

class ModelReading {
  private irVersion: number | undefined;
  private hasGraph = false;
  private producerName = '';
  private producerVersion = '';
  private description = '';
  private readonly opsets = new Map<string, number>();
  private readonly metadata = new Map<string, string>();
  private readonly inputs: TensorDescription[] = [];
  private readonly outputs: TensorDescription[] = [];
  private readonly initializers = new Set<string>();
  private readonly walk: TensorWalk;

  constructor(private readonly cursor: ProtobufCursor) {
    this.walk = new TensorWalk(cursor);
  }

  /** Writers put `ir_version` first: with it read, the rest is a damaged model and not another format. */
  looksLikeOnnx(): boolean {
    return this.irVersion !== undefined;
  }

  async readModel(size: number): Promise<void> {
    await this.cursor.eachField(0, size, (field) => this.modelField(field));
    if (!this.hasGraph || this.irVersion === undefined) {
      this.irVersion = undefined;
      throw new MalformedError('it has no graph or no IR version');
    }
    if (this.opsets.size === 0) throw new MalformedError('it names no operator set');
    if (this.outputs.length === 0) throw new MalformedError('its graph has no output');
  }

  finish(): OnnxModel {
    return {
      signature: {
        inputs: this.inputs.filter(({ name }) => !this.initializers.has(name)),
        outputs: this.outputs,
        opsets: Object.fromEntries(this.opsets),
        irVersion: this.irVersion ?? 0,
        producer: `${this.producerName} ${this.producerVersion}`.trim(),
        description: this.description,
        metadata: Object.fromEntries(this.metadata),
      },
      tensors: this.walk.extents.sort((a, b) => a.offset - b.offset),
      externalTensors: this.walk.externals,
      externalFiles: [...this.walk.externalFiles].sort(),
    };
  }

  /** ModelProto */
  private async modelField(field: Field): Promise<void> {
    switch (field.number) {
      case 1:
        this.irVersion = integer(field);
        if (this.irVersion < 1 || this.irVersion > 0x7fff_ffff) {
          this.irVersion = undefined;
          throw new MalformedError('its IR version is out of range');
        }
        break;
      case 2:
        this.producerName = await this.cursor.text(message(field), maxShortTextBytes);
        break;
      case 3:
        this.producerVersion = await this.cursor.text(message(field), maxShortTextBytes);
        break;
      case 6:
        this.description = await this.cursor.textStart(message(field), maxDescriptionBytes);
        break;
      case 7:
        this.hasGraph = true;
        await this.cursor.eachField(message(field).start, field.end, (inner) => this.graphField(inner));
        break;
      case 8:
        await this.readOpset(message(field));
        break;
      case 14:
        await this.readMetadata(message(field));
        break;
      case 20:
        await this.walk.walk('training', message(field));
        break;
      case 25:
        await this.walk.walk('function', message(field));
        break;
    }
  }

  /** GraphProto, the outermost */
  private async graphField(field: Field): Promise<void> {
    if (field.number === 11) return this.addPort(this.inputs, message(field));
    if (field.number === 12) return this.addPort(this.outputs, message(field));
    const found = await this.walk.graphField(field);
    if (found?.initializer !== undefined) this.initializers.add(found.initializer);
  }

  private async addPort(ports: TensorDescription[], field: Field): Promise<void> {
    if (ports.length >= maxPorts) throw new MalformedError(`more than ${String(maxPorts)} inputs or outputs`);
    ports.push(await readDescription(this.cursor, field));
  }

  private async readOpset(at: Field): Promise<void> {
    let domain = '';
    let version = 0;
    await this.cursor.eachField(at.start, at.end, async (field) => {
      if (field.number === 1) domain = await this.cursor.text(message(field), maxShortTextBytes);
      else if (field.number === 2) version = integer(field);
    });
    if (version < 1) throw new MalformedError(`the operator set ${quote(domain)} has version ${String(version)}`);
    this.opsets.set(domain === '' ? 'ai.onnx' : domain, version);
    if (this.opsets.size > maxOpsets) throw new MalformedError(`more than ${String(maxOpsets)} operator sets`);
  }

  private async readMetadata(at: Field): Promise<void> {
    const [key, value] = await readEntry(this.cursor, at, maxMetadataValueBytes);
    this.metadata.set(key, value);
    if (this.metadata.size > maxMetadataEntries) {
      throw new MalformedError(`more than ${String(maxMetadataEntries)} metadata properties`);
    }
  }
}
