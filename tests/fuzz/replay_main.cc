/// Feeds every file of a corpus folder to the fuzzer that it is linked with, and says how many
/// there were. An empty or missing folder is an error: it would test nothing.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator{folder, error}) {
        if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

void replay(const std::filesystem::path& file) {
    std::ifstream stream{file, std::ios::binary};
    const std::string bytes{std::istreambuf_iterator<char>{stream}, {}};
    const std::vector<std::uint8_t> data{bytes.begin(), bytes.end()};
    LLVMFuzzerTestOneInput(data.data(), data.size());
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> arguments{argv, std::next(argv, argc)};
    if (arguments.size() != 2) {
        std::fputs("usage: REPLAY FOLDER\n", stderr);
        return 2;
    }
    const auto files = files_of(arguments.at(1));
    for (const auto& file : files) replay(file);
    std::printf("replayed %zu inputs of %s\n", files.size(), arguments.at(1).c_str());
    return files.empty() ? 1 : 0;
}
