/// Input: a text, given to every parser of single values, names and addresses.
#include <array>

#include "base/assert.h"
#include "initiator/login/name.h"
#include "initiator/login/target_address.h"
#include "initiator/login/value.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast;
    using namespace holdfast::initiator;
    fuzz::Input input{data, size};
    const std::string_view text = input.text();

    std::array<std::byte, 48> room{};
    constexpr std::byte kMark{0xa5};
    room.fill(kMark);
    const auto out = std::span{room}.first<32>();
    if (const auto binary = parse_binary(text, out)) HF_ASSERT(binary->size() <= out.size());
    for (const std::byte beyond : std::span{room}.subspan<32>()) HF_ASSERT(beyond == kMark);

    const auto number = parse_number(text);
    HF_ASSERT(!number || parse_small_binary(text) == number);
    HF_ASSERT(!number || !parse_boolean(text));

    if (const auto name = normalise_name(text)) {
        HF_ASSERT(!judge_name(name->view()));
        HF_ASSERT(is_utf8(name->view()));
        const auto again = normalise_name(name->view());
        HF_ASSERT(again && *again == *name);
    } else {
        HF_ASSERT(judge_name(text).has_value());
    }
    if (const auto address = parse_target_address(text)) {
        HF_ASSERT(address->portal.port != 0 && !address->portal.host.empty());
        HF_ASSERT(address->portal.host.view().find('[') == std::string_view::npos);
    }
    ListItems items{text};
    std::size_t total = 0;
    while (const auto item = items.try_next()) total += item->size() + 1;
    HF_ASSERT(total == text.size() + 1);
    return 0;
}
