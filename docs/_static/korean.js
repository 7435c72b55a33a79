/* What Sphinx, its search and the copy buttons have no Korean for. */
if (document.documentElement.lang === "ko") {
  Documentation.addTranslations({
    locale: "ko",
    plural_expr: "0",
    messages: {
      "Search finished, found one page matching the search query.": ["검색어가 들어 있는 문서를 ${resultCount}개 찾았습니다."],
      "Your search did not match any documents. Please make sure that all words are spelled correctly and that you've selected enough categories.":
        "검색어가 들어 있는 문서가 없습니다. 띄어쓰기와 맞춤법을 확인하거나 더 짧은 낱말로 찾아 보십시오.",
      "Searching": "찾는 중",
      "Preparing search...": "검색을 준비하는 중…",
      "Hide Search Matches": "검색어 강조 없애기",
      ", in ": ", ",
    },
  });
  if (typeof messages !== "undefined") {
    messages.ko = { copy: "복사", copy_to_clipboard: "코드 복사", copy_success: "복사했습니다", copy_failure: "복사하지 못했습니다" };
    locale = "ko";
    iconCopy = iconCopy.replace(messages.en.copy_to_clipboard, messages.ko.copy_to_clipboard);
    iconCheck = iconCheck.replace(messages.en.copy_success, messages.ko.copy_success);
  }
  /* Sphinx looks for parts of words only where a search word has three letters; in Korean most nouns have two, and a particle after them. */
  document.addEventListener("DOMContentLoaded", () => {
    if (typeof Search === "undefined") return;
    const find = Search.performTermsSearch;
    Search.performTermsSearch = (words, ...others) => {
      for (const index of [Search._index.terms, Search._index.titleterms])
        for (const word of words)
          if (/^[가-힣]{1,2}$/.test(word)) {
            const files = Object.keys(index).filter((term) => term.startsWith(word)).flatMap((term) => index[term]);
            if (files.length) index[word] = [...new Set(files)];
          }
      return find(words, ...others);
    };
  });
}
