# Writes SOURCE, a C++ file with the bytes of OBJECT.
file(READ "${OBJECT}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE "${SOURCE}" "#include \"netpath/classifier/object.h\"

namespace holdfast::netpath::classifier {

namespace {

alignas(8) constexpr unsigned char kObject[] = {${bytes}};

}  // namespace

std::span<const std::byte> classifier_object() noexcept {
    return std::as_bytes(std::span{kObject});
}

}  // namespace holdfast::netpath::classifier
")
