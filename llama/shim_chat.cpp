// Chat templates and JSON schemas, through llama-common.
#include "shim_internal.h"

// llama-common's headers hold static functions that not every includer uses.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "chat.h"
#pragma GCC diagnostic pop
#include "json-schema-to-grammar.h"

struct lx_chat {
    common_chat_templates_ptr templates;
};

namespace {

common_chat_templates_inputs inputs_of(const char * messages, const char * tools, uint32_t flags) {
    common_chat_templates_inputs in;
    in.messages = common_chat_msgs_parse_oaicompat(common_json::parse(messages));
    if (tools != nullptr && tools[0] != '\0') {
        in.tools = common_chat_tools_parse_oaicompat(common_json::parse(tools));
    }
    in.use_jinja             = true;
    in.enable_thinking       = (flags & LX_CHAT_THINKING) != 0;
    in.add_generation_prompt = (flags & LX_CHAT_GENERATION_PROMPT) != 0;
    in.reasoning_format      = COMMON_REASONING_FORMAT_DEEPSEEK;
    // Rendering alone leaves out the analysis of the template that builds a
    // parser for the answer; it costs milliseconds for each call.
    in.force_pure_content = (flags & LX_CHAT_RENDER_ONLY) != 0;
    return in;
}

} // namespace

int32_t lx_chat_new(const lx_model * m, const char * template_override, lx_chat ** out, char * err, int32_t err_cap) noexcept {
    *out = nullptr;
    return lx::guarded(err, err_cap, [&] {
        lx_init();
        lx::assert_guard guard;
        auto chat = std::make_unique<lx_chat>();
        chat->templates = common_chat_templates_init(m->llama.get(), template_override != nullptr ? template_override : "");
        *out = chat.release();
    });
}

void lx_chat_free(lx_chat * c) noexcept { delete c; }

int32_t lx_chat_apply(const lx_chat * c, const char * messages, const char * tools, uint32_t flags,
                      char ** out, int64_t * out_len, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        lx::assert_guard guard;
        const common_chat_params params = common_chat_templates_apply(c->templates.get(), inputs_of(messages, tools, flags));
        lx::give_string(params.prompt, out, out_len);
    });
}

int32_t lx_schema_to_gbnf(const char * schema, char ** out, int64_t * out_len, char * err, int32_t err_cap) noexcept {
    return lx::guarded(err, err_cap, [&] {
        lx::assert_guard guard;
        lx::give_string(json_schema_to_grammar(common_json::parse(schema), true), out, out_len);
    });
}
