// @ts-check
//
// Autosaving for an editor: no edit is lost, however many people type into the same file.
//
//   const saving = new Autosave({
//       client, projectId, filePath, fileType: 'typescript', content, version,   // as the editor opened the file
//       onChange: (text) => editor.setText(text),                                // others' edits came in
//       onConflict: (text) => editor.letUserResolve(text),                       // the same lines were edited
//       onError: (error) => editor.showError(error.message),
//   });
//   editor.onKeystroke = () => saving.edit(editor.text);
//
// `client` is a PostgREST or Supabase client whose schema is the extension's, such as
// `client.schema('versioned')`.

/**
 * @typedef {object} RpcError
 * @property {string} message
 * @property {string} [code] the SQLSTATE
 * @property {string | null} [details] JSON for PT409 and PT429
 *
 * @typedef {object} RpcAnswer
 * @property {any} data
 * @property {RpcError | null} error
 * @property {number} status of HTTP; 0 when there was no answer
 *
 * @typedef {{ rpc(name: string, args: object): PromiseLike<RpcAnswer> }} RpcClient
 *
 * @typedef {object} Options
 * @property {RpcClient} client
 * @property {string} projectId
 * @property {string} filePath
 * @property {string} fileType
 * @property {string} content what the editor opened
 * @property {number} version the version of `content`; 0 for a new file
 * @property {(text: string) => void} onChange shows the editor's text with others' edits in it
 * @property {(text: string) => string | Promise<string>} onConflict
 *     shows a text with diff3 markers and returns the text that the user resolved; `edit` is ignored until then
 * @property {(error: RpcError) => void} onError
 *     errors that waiting does not cure: no rights, the file was deleted. Saving is tried again after the next edit.
 * @property {number} [delay] ms after the last keystroke
 * @property {number} [maxDelay] ms after the first unsaved keystroke
 * @property {number} [retryDelay] ms before a failed request is sent again; doubled at each failure
 */

const LONGEST_RETRY_DELAY = 30_000;

export class Autosave {
    /** @type {Options & { delay: number, maxDelay: number, retryDelay: number }} */
    #options;
    /** What the editor shows. */
    #text;
    /**
     * The file's content that #text was last based on; null if that is not known.
     * @type {string | null}
     */
    #saved;
    /** The version that #text is an edit of. */
    #version;
    #resolving = false;
    #stopped = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #timer;
    /** @type {number | undefined} */
    #unsavedSince;
    /** @type {Promise<void> | undefined} */
    #saving;

    /** @param {Options} options */
    constructor(options) {
        this.#options = { delay: 1_000, maxDelay: 10_000, retryDelay: 500, ...options };
        this.#text = options.content;
        this.#saved = options.content;
        this.#version = options.version;
    }

    get text() {
        return this.#text;
    }

    get version() {
        return this.#version;
    }

    /**
     * Takes the editor's text after a keystroke.
     * @param {string} text
     */
    edit(text) {
        if (this.#resolving) return;
        this.#text = text;
        this.#schedule();
    }

    /** Saves immediately what is not yet saved, for example when the page is closed. */
    async flush() {
        while (this.#text !== this.#saved) await this.#save();
    }

    /** Takes over what others have saved, for example after an event. */
    async refresh() {
        await this.flush();
        const { projectId, filePath } = this.#options;
        const file = await this.#call('get_project_file', { p_project_id: projectId, p_file_path: filePath });
        // What was typed meanwhile will be merged when it is saved.
        if (this.#text === this.#saved && file.version > this.#version) this.#show(file.content, file.version);
    }

    /** Ends saving and retrying; flush first. */
    stop() {
        this.#stopped = true;
        clearTimeout(this.#timer);
    }

    #schedule() {
        if (this.#stopped) return;
        const now = Date.now();
        this.#unsavedSince ??= now;
        const due = Math.min(now + this.#options.delay, this.#unsavedSince + this.#options.maxDelay);
        clearTimeout(this.#timer);
        this.#timer = setTimeout(async () => {
            try {
                await this.#save();
                if (this.#text !== this.#saved) this.#schedule();
            } catch (error) {
                this.#options.onError(/** @type {RpcError} */ (error));
            }
        }, due - now);
    }

    /** One save at a time. */
    #save() {
        clearTimeout(this.#timer);
        this.#unsavedSince = undefined;
        this.#saving ??= this.#saveOrMerge().finally(() => (this.#saving = undefined));
        return this.#saving;
    }

    async #saveOrMerge() {
        const { projectId, filePath, fileType } = this.#options;
        const sent = this.#text;
        try {
            // Not upsert_project_file, which returns errors without retry_after_ms.
            const file = await this.#call('atomic_upsert_project_file', {
                project_uuid: projectId,
                p_file_path: filePath,
                p_content: sent,
                p_file_type: fileType,
                expected_version: this.#version,
            });
            this.#saved = sent;
            this.#version = file.version;
        } catch (error) {
            if (/** @type {RpcError} */ (error).code !== 'PT409') throw error;
            await this.#merge(sent);
        }
    }

    /**
     * Somebody else saved since #version.
     * @param {string} sent
     */
    async #merge(sent) {
        const { projectId, filePath, onConflict } = this.#options;
        // The file's type stays what it is now. PT409 here means that the file was deleted: the user's to decide.
        const [{ version, has_conflicts, content }] = await this.#call('merge_project_file', {
            p_project_id: projectId,
            p_file_path: filePath,
            p_content: sent,
            p_base_version: this.#version,
        });
        if (!has_conflicts) {
            const text = rebase(sent, this.#text, content);
            // Where both changed the same place, #text stays an edit of the old version and is merged as such.
            if (text === null) return;
            this.#show(text, version);
            this.#saved = content;
        } else if (this.#text === sent) {
            this.#resolving = true;
            try {
                this.#show(await onConflict(content), version);
                this.#saved = null;
            } finally {
                this.#resolving = false;
            }
        }
        // Otherwise nothing was saved and the user typed on: the newer text will be merged.
    }

    /**
     * @param {string} text
     * @param {number} version
     */
    #show(text, version) {
        this.#version = version;
        this.#saved = text;
        if (text === this.#text) return;
        this.#text = text;
        this.#options.onChange(text);
    }

    /**
     * Calls a function until it succeeds or fails permanently. All of them can be sent twice: a save that has already
     * been made returns the same answer again.
     * @param {string} name
     * @param {object} args
     */
    async #call(name, args) {
        for (let failures = 0; ; failures++) {
            const { data, error, status } = await this.#options.client.rpc(name, args);
            if (!error) return data;
            let wait;
            if (error.code === 'PT429') {
                wait = JSON.parse(error.details ?? '{}').retry_after_ms;
            } else if (isTransient(error, status)) {
                wait =
                    Math.min(this.#options.retryDelay * 2 ** failures, LONGEST_RETRY_DELAY) * (0.5 + Math.random() / 2);
            } else {
                throw error;
            }
            if (this.#stopped) throw error;
            await new Promise((resolve) => setTimeout(resolve, wait));
        }
    }
}

/**
 * Whether the same request may succeed later: no answer, an overloaded or restarting server, a lost race or a
 * deadlock. Not damaged data and defects (XX…).
 * @param {RpcError} error
 * @param {number} status
 */
function isTransient(error, status) {
    return status === 0 || status === 429 || (status >= 500 && !error.code?.startsWith('XX'));
}

/**
 * Applies what was typed after `base` was sent to `theirs`; null if both changed the same place.
 * @param {string} base
 * @param {string} mine
 * @param {string} theirs
 */
function rebase(base, mine, theirs) {
    if (mine === base) return theirs;
    if (theirs === base) return mine;
    const [first, second] = [change(base, mine), change(base, theirs)].sort((a, b) => a.start - b.start);
    if (first.end >= second.start) return null;
    return (
        base.slice(0, first.start) +
        first.text +
        base.slice(first.end, second.start) +
        second.text +
        base.slice(second.end)
    );
}

/**
 * The one part of `from` in which `to` differs, and what is there instead.
 * @param {string} from
 * @param {string} to
 */
function change(from, to) {
    const shorter = Math.min(from.length, to.length);
    let start = 0;
    while (start < shorter && from[start] === to[start]) start++;
    let tail = 0;
    while (tail < shorter - start && from.at(-1 - tail) === to.at(-1 - tail)) tail++;
    return { start, end: from.length - tail, text: to.slice(start, to.length - tail) };
}
