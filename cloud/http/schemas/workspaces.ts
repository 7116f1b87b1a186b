import * as z from 'zod';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';

export const workspaceBody = z.object({ name: nameSchema, createdAt: instantSchema });
export const workspaceCreate = z.strictObject({ name: nameSchema });
